"""Object packs read back: for objects that the index's mirror lacks."""

import trio

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from ..codecs.registry import decode
from ..formats.chunktable import Kind, PackedChunk
from ..formats.journal import PackStored
from ..formats.objects import object_id
from ..index.records import PackRecord
from .pool import Pool
from .scrutiny import load_sound


async def read_objects(pool: Pool, stored: PackStored) -> dict[ObjectId, bytes]:
    """Every object of a pack that a journal entry announces, by id, verified."""
    pack = PackRecord.of(0, stored)
    data = await load_sound(pool, pack, 0, pack.length)
    return await trio.to_thread.run_sync(decode_objects, data, stored.chunks)


def decode_objects(data: memoryview, chunks: tuple[PackedChunk, ...]) -> dict[ObjectId, bytes]:
    """The objects among `chunks`, from their pack's bytes; ChunkDamagedError if one is not."""
    found: dict[ObjectId, bytes] = {}
    for chunk in chunks:
        if chunk.kind is not Kind.OBJECT:
            continue
        out = bytearray(chunk.raw)
        decode(chunk.codec, data[chunk.offset : chunk.offset + chunk.stored], memoryview(out))
        id_ = object_id(bytes(out))
        if bytes(id_) != chunk.id:
            raise ChunkDamagedError(f"object {chunk.id.hex()[:16]} is damaged in its pack")
        found[id_] = bytes(out)
    return found
