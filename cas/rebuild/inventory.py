"""What lies on the backends that are up: every shard and every copy of a record, as listings show.

Memory: one batch of keys for each backend; the rest goes into `cas.rebuild.scratch`.
"""

import logging
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

import trio

from ...backends.keys import parse_shard_key
from ...errors import BackendError
from ...ids import BackendId, PackId
from ..journal.copies import listed_records
from ..packs.members import Member, Members
from .scratch import Copy, Scratch

BATCH: Final = 5000
"""Keys that are noted together."""

_T = TypeVar("_T")

log = logging.getLogger(__name__)


async def take_inventory(
    members: Members, scratch: Scratch, *, shards: bool
) -> tuple[set[BackendId], int]:
    """Note everything in `scratch`, or all but `shards`; which backends were listed to the end, and
    the bytes of all copies of journal records. One whose listing fails counts as down.

    Shards are listed when all records are: those of a pack that somebody records meanwhile are
    there by then.
    """
    listed: set[BackendId] = set()
    sizes: list[int] = []
    writing = trio.Lock()

    async def look(member: Member, *, at_shards: bool) -> None:
        try:
            if at_shards:
                await _shards(member, scratch, writing)
            else:
                sizes.append(await _copies(member, scratch, writing))
        except BackendError as error:
            log.warning("%s", error)
            members.note_failure(member, error)
            listed.discard(member.id)
        else:
            listed.add(member.id)

    for at_shards in (False, True) if shards else (False,):
        async with trio.open_nursery() as nursery:
            for member in members.up():
                if member.id in listed or not at_shards:
                    nursery.start_soon(partial(look, member, at_shards=at_shards))
    return listed, sum(sizes)


async def list_copies(members: Members, scratch: Scratch) -> None:
    """Note the copies of journal records alone; what a backend said whose listing fails."""
    writing = trio.Lock()
    for member in members.up():
        await _copies(member, scratch, writing)


async def _copies(member: Member, scratch: Scratch, writing: trio.Lock) -> int:
    total = 0
    batch: list[Copy] = []
    async with aclosing(listed_records(member)) as listing:
        async for writer, seq, copy, size in listing:
            if 0 < seq < 1 << 64:
                batch.append(Copy(writer, seq, copy, member.id, size))
                total += size
            if len(batch) == BATCH:
                await _note(scratch.note_copies, batch, writing)
                batch = []
    await _note(scratch.note_copies, batch, writing)
    return total


async def _shards(member: Member, scratch: Scratch, writing: trio.Lock) -> None:
    batch: list[tuple[PackId, int, BackendId, bytes]] = []
    async with aclosing(member.backend.list("packs/")) as listing:
        async for listed in listing:
            parsed = parse_shard_key(listed.key)
            if parsed is not None:
                pack, index, k, m = parsed
                if index < 256 and k < 256 and m < 256:
                    batch.append((pack, index, member.id, bytes((k, m))))
            if len(batch) == BATCH:
                await _note(scratch.note_shards, batch, writing)
                batch = []
    await _note(scratch.note_shards, batch, writing)


async def _note(note: Callable[[list[_T]], None], batch: list[_T], writing: trio.Lock) -> None:
    async with writing:
        await trio.to_thread.run_sync(note, batch)
