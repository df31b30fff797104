"""Packs made whole that were stored without some of their shards, since no backend took them.

Their shards are in no place yet, so nothing is looked for: each is made from k others as a repair
makes it, where the backends leave room for it now. The rest waits for the next time.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ..formats.journal import NOWHERE
from ..index.index import Index
from ..index.records import PackRecord
from ..packs.pool import Pool
from .repair import new_place

MOST: Final = 16
"""Packs that are made whole at a time, 1 GiB: who adds a file shall not wait for a long repair."""

Mend = Callable[[PackRecord], Awaitable[None]]
"""Checks a pack, and mends it."""


async def complete(index: Index, pool: Pool, mend: Mend) -> int:
    """Make missing shards of at most MOST packs, the oldest first; how many packs have all now."""
    lacking = await trio.to_thread.run_sync(index.incomplete)
    chosen = [pack for pack in lacking if _can_be_whole(pool, pack)][:MOST]
    done = 0
    for pack in chosen:
        await mend(pack)
        now = await trio.to_thread.run_sync(index.pack, pack.number)
        done += now is not None and NOWHERE not in now.backends
    return done


def _can_be_whole(pool: Pool, pack: PackRecord) -> bool:
    """Whether k shards can be read, and there is a place for one that is missing."""
    usable = sum(pool.usable(pack, index) for index in range(pack.n))
    missing = pack.backends.index(NOWHERE)
    return usable >= pack.k and new_place(pool, pack, missing) is not None
