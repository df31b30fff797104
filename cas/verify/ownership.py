"""Whether a backend whose marker is damaged or gone is plainly ours, so that it can be marked anew.

An unmounted disk leaves an empty folder, and another's marker says whose the place is: both count
as down, and nothing is written there. But where every shard that is recorded on a backend lies
there, and those that are looked at carry this store's id in their footers, it can be no other.
"""

import logging
from contextlib import aclosing
from typing import Final

import trio

from ...backends.keys import parse_shard_key
from ...backends.marker import read_marker
from ...errors import BackendError, FormatError, MarkerError, ShardDamagedError
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from ..packs.members import Member
from ..packs.pool import Pool
from ..packs.scrutiny import read_footer

LOOKED_AT: Final = 16
"""Shards whose footers are read."""

log = logging.getLogger(__name__)


async def is_plainly_ours(index: Index, pool: Pool, member: Member) -> bool:
    """Whether `member` lacks a marker that can be read, and holds everything that it should."""
    try:
        await read_marker(member.backend)
    except MarkerError:
        pass
    except (BackendError, FormatError):
        return False
    else:
        return False  # another store's, or another backend's
    expected = await trio.to_thread.run_sync(_expected, index, member)
    try:
        return expected > 0 and await _found(index, pool, member) == expected
    except (BackendError, ShardDamagedError, FormatError) as error:
        log.warning("backend %s is not marked anew: %s", member.name, error)
        return False


def _expected(index: Index, member: Member) -> int:
    return sum(_lies_on(pack, i, member) for pack in index.packs() for i in range(pack.n))


def _lies_on(pack: PackRecord, index: int, member: Member) -> bool:
    return pack.backends[index] == member.id and pack.states[index] is not ShardState.MISSING


async def _found(index: Index, pool: Pool, member: Member) -> int:
    """How many of its shards are there; ShardDamagedError where one of them is not ours."""
    found = 0
    async with aclosing(member.backend.list("packs/")) as listing:
        async for listed in listing:
            parsed = parse_shard_key(listed.key)
            pack = None if parsed is None else index.pack_of_id(parsed[0])
            if parsed is None or pack is None or not _lies_on(pack, parsed[1], member):
                continue
            if found < LOOKED_AT:
                await read_footer(pool, pack, parsed[1], even_down=True)
            found += 1
    return found
