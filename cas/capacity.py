"""What each backend holds of its capacity, counted when writing begins.

The index tells how many bytes of shards lie where; what this process stores from then on is added
by those who place shards. Adds that run side by side do not see each other's: together they may
pass a capacity by what the others store meanwhile, and the next one counts that too.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import trio

from ..ids import BackendId
from .formats.chunktable import ENTRY
from .formats.shard import FOOTER_HEAD, TRAILER_SIZE, block_count, carries_table
from .index.index import Index
from .index.records import PackRecord, ShardState
from .packs.members import Members

HASH: Final = 32


def shard_size(pack: PackRecord, index: int) -> int:
    """Bytes that one shard takes on its backend, footer and trailer included."""
    table = ENTRY.size * pack.chunk_count
    carried = table if carries_table(index, pack.k, pack.chunk_count, pack.shard) else 0
    hashes = HASH * pack.n * block_count(pack.shard)
    return pack.shard + FOOTER_HEAD + hashes + carried + TRAILER_SIZE


def stored_size(pack: PackRecord) -> int:
    """Bytes that all its shards take: the last one carries the table, with it m others at least."""
    return (pack.k - 1) * shard_size(pack, 0) + (pack.m + 1) * shard_size(pack, pack.n - 1)


def bytes_on(packs: Iterable[PackRecord]) -> Counter[BackendId]:
    """Bytes of good shards on each backend."""
    used: Counter[BackendId] = Counter()
    for pack in packs:
        for index, backend in enumerate(pack.backends):
            if pack.states[index] is ShardState.GOOD:
                used[backend] += shard_size(pack, index)
    return used


async def count_use(index: Index, members: Members) -> None:
    """Note what every member holds, where one of them has a capacity; else nobody asks."""
    if all(member.capacity is None for member in members):
        return
    used = await trio.to_thread.run_sync(lambda: bytes_on(index.packs()))
    for member in members:
        member.used = used[member.id]
