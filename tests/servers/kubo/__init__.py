"""A small IPFS node for tests: Kubo's RPC as far as it is used, and a trustless gateway.

    async with serve_kubo(tmp_path) as kubo:
        backend = open_backend("d0", f"{kubo.url}/folder", create=True)

It keeps to Kubo's limits and words: blocks of 1 MiB at most, a name that is taken stays taken, a
file that could not be removed told with status 200, what is neither pinned nor named is collected,
and what is asked for without `offline` and is not there is waited for without end.
"""

from .serving import Kubo, serve_kubo
from .state import Faults, Node

__all__ = ["Faults", "Kubo", "Node", "serve_kubo"]
