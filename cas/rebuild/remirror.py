"""The mirror of objects filled again: from object packs, and where those fail from an old index."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import trio

from ...errors import BackendError, ChunkDamagedError, DamageError, IndexDamagedError
from ...ids import ObjectId, PackId, PackNumber
from ..formats.chunktable import PackedChunk, decode_table
from ..formats.links import objects_of
from ..formats.objects import ObjectType, object_type
from ..index.records import PackRecord
from ..packs.objectpacks import decode_objects
from ..packs.pool import Pool
from ..packs.scrutiny import load_sound
from ..packs.verifying import ChunkOpener
from .draft import Draft

AT_ONCE: Final = 2
"""Object packs that are read at once, 64 MiB at most each."""
PARTS_OF_FILES: Final = (
    ObjectType.MANIFEST,
    ObjectType.MANIFEST_PAGE,
    ObjectType.REGION_PAGE,
)
GROUP: Final = 8 << 20
"""Bytes of objects that are decoded and written together."""

log = logging.getLogger(__name__)

Old = Callable[[ObjectId], bytes | None]
"""The mirror of an index that was there before."""


async def mirror_all(draft: Draft, pool: Pool, advance: Callable[[int], None]) -> list[PackId]:
    """Put the objects of all object packs into the draft; the packs that could not be read whole.

    `advance` hears of the bytes that were read.
    """
    lost: list[PackId] = []
    send, receive = trio.open_memory_channel[tuple[PackRecord, bytes]](0)
    writing = trio.Lock()

    async def work() -> None:
        async for pack, table in receive:
            try:
                await _mirror(
                    draft,
                    pool,
                    pack,
                    decode_table(table, pack.length, pool.members.cipher.overhead),
                    writing,
                )
            except (BackendError, DamageError) as error:
                log.warning("%s", error)
                lost.append(pack.id)
            advance(pack.length)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(work)
        async with send:
            await _send_all(draft, send)
    return lost


async def _send_all(draft: Draft, send: trio.MemorySendChannel[tuple[PackRecord, bytes]]) -> None:
    after = 0
    while tables := await trio.to_thread.run_sync(draft.scratch.tables, after, AT_ONCE):
        for number, table in tables:
            pack = await trio.to_thread.run_sync(draft.pack, PackNumber(number))
            # A pack that was deleted has no record any more.
            if pack is not None:
                await send.send((pack, table))
        after = tables[-1][0]


async def _mirror(
    draft: Draft, pool: Pool, pack: PackRecord, chunks: Sequence[PackedChunk], writing: trio.Lock
) -> None:
    opener = ChunkOpener.of(pool.members.cipher, pack.id)
    try:
        data = await pool.load(pack, 0, pack.length, lambda size: memoryview(bytearray(size)))
        await _put(draft, data, chunks, opener, writing)
    except ChunkDamagedError:
        # Some shard lies: its blocks tell which.
        data = await load_sound(pool, pack, 0, pack.length)
        await _put(draft, data, chunks, opener, writing)


async def _put(
    draft: Draft,
    data: memoryview,
    chunks: Sequence[PackedChunk],
    opener: ChunkOpener,
    writing: trio.Lock,
) -> None:
    slot = 0
    for group in _groups(chunks):
        objects = await trio.to_thread.run_sync(decode_objects, data, group, opener, slot)
        slot += len(group)
        async with writing:
            await trio.to_thread.run_sync(draft.put_objects, objects)


def _groups(chunks: Sequence[PackedChunk]) -> Iterator[tuple[PackedChunk, ...]]:
    group: list[PackedChunk] = []
    size = 0
    for chunk in chunks:
        group.append(chunk)
        size += chunk.raw
        if size >= GROUP:
            yield tuple(group)
            group, size = [], 0
    if group:
        yield tuple(group)


def fill_gaps(draft: Draft, old: Old | None) -> int:
    """Walk all that refs reach; what the draft lacks is taken from an `old` mirror, verified.

    How many objects are missing for good: below one that is, nothing can be looked for. Memory:
    the ids of all commits and trees that refs reach.
    """
    missing: set[ObjectId] = set()
    seen: set[ObjectId] = set()
    queue = [head.commit for head in draft.refs()]
    while queue:
        id_ = queue.pop()
        if id_ in seen or id_ in missing:
            continue
        data = draft.object(id_) or _from_old(draft, id_, old)
        if data is None:
            missing.add(id_)
            continue
        type_ = object_type(data)
        # There are as many manifests as files, and none leads to another one.
        if type_ not in PARTS_OF_FILES:
            seen.add(id_)
        queue += objects_of(data)
    return len(missing)


def _from_old(draft: Draft, id_: ObjectId, old: Old | None) -> bytes | None:
    data = None
    with contextlib.suppress(IndexDamagedError):
        data = None if old is None else old(id_)
    if data is None or draft.ids.object(data) != id_:
        return None
    draft.put_objects({id_: data})
    return data
