"""Object packs read back: for objects that the index's mirror lacks."""

from collections.abc import Sequence

import trio

from ...errors import ChunkDamagedError
from ...ids import ObjectId
from ..codecs.registry import decode
from ..formats.chunktable import Kind, PackedChunk
from ..formats.journal import PackStored
from ..index.records import PackRecord
from .pool import Pool
from .scrutiny import load_sound
from .verifying import ChunkOpener


async def read_objects(pool: Pool, stored: PackStored) -> dict[ObjectId, bytes]:
    """Every object of a pack that a journal entry announces, by id, verified."""
    pack = PackRecord.of(0, stored)
    data = await load_sound(pool, pack, 0, pack.length)
    opener = ChunkOpener.of(pool.members.cipher, stored.pack)
    return await trio.to_thread.run_sync(decode_objects, data, stored.chunks, opener)


def decode_objects(
    data: memoryview, chunks: Sequence[PackedChunk], opener: ChunkOpener, first: int = 0
) -> dict[ObjectId, bytes]:
    """The objects among `chunks`, from their pack's bytes; ChunkDamagedError if one is not.

    `first` is the slot of the first of them.
    """
    found: dict[ObjectId, bytes] = {}
    for slot, chunk in enumerate(chunks, first):
        if chunk.kind is not Kind.OBJECT:
            continue
        stored = data[chunk.offset : chunk.offset + chunk.stored]
        out = bytearray(chunk.raw)
        decode(chunk.codec, opener.encoded(slot, stored), memoryview(out))
        id_ = opener.ids.object(bytes(out))
        if bytes(id_) != chunk.id:
            raise ChunkDamagedError(f"object {chunk.id.hex()[:16]} is damaged in its pack")
        found[id_] = bytes(out)
    return found
