"""Spare shards that a repair had left out, read once it is known that their backend rots.

Memory: the shards that are read.
"""

from collections.abc import Mapping, Sequence

import trio

from ..formats.shard import Footer, join_tails
from ..index.records import PackRecord
from ..packs.pool import Pool
from ..packs.scrutiny import agreed, read_footers
from .judgement import Found, hold_against
from .packreads import PackReads


async def are_sound(pool: Pool, reads: PackReads, pack: PackRecord, indexes: Sequence[int]) -> bool:
    """Whether those shards are what the footers of their pack say; False also where these
    disagree, or a shard cannot be read."""
    footers = await read_footers(pool, pack)
    found = await reads.some(pack, indexes)
    return await trio.to_thread.run_sync(_match, footers, found)


def _match(footers: dict[int, Footer], found: Mapping[int, Found]) -> bool:
    versions = agreed(footers)
    info = join_tails(versions) if len(versions) == 1 else None
    return info is not None and not any(
        hold_against(info, index, shard).problem for index, shard in found.items()
    )
