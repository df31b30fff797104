"""`diff`: two trees, or two files, compared file by file and tensor by tensor.

Everything is told by trees, manifests and region tables, which lie in the index's mirror; only
tensors whose chunks do not tell whether they are the same are read from the backends.
"""

import trio
import trio.from_thread

from ..progress import Progress
from ..refnames import Address
from ..store import Store
from .comparison import Comparison, Difference
from .ledger import Ledger
from .matching import wanted_bytes
from .reading import read_wanted


async def compare(
    store: Store, old: Address, new: Address, progress: Progress | None = None
) -> Difference:
    """What makes `new` different from `old`: `vendor/name[@REV][/path]` each, links followed.

    NotFoundError, UsageError or ConflictError where an address names nothing; DamageError where
    something that must be read cannot be.
    """
    ledger = await trio.to_thread.run_sync(Ledger)
    try:
        comparison = Comparison(store, ledger, old, new, trio.from_thread.check_cancelled)
        await trio.to_thread.run_sync(comparison.note)
        told = progress or Progress()
        told.total += await trio.to_thread.run_sync(wanted_bytes, ledger)
        await read_wanted(ledger, comparison.open_file, told)
        return Difference(ledger, await trio.to_thread.run_sync(comparison.settle))
    except BaseException:
        ledger.close()
        raise
