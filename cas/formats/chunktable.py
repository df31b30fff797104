"""The chunk table: what lies where in a pack. `docs/format.md`, Chunk table entry."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ...errors import ShardDamagedError
from ...ids import ChunkId

ENTRY: Final = struct.Struct("<32sIIIBBBx")
PACK_SIZE: Final = 64 << 20
"""Longest pack, bytes."""
PACK_CHUNKS: Final = 16_384
"""Most chunks in a pack."""
MAX_CHUNK: Final = 1 << 20
"""Longest chunk, raw bytes."""


class Kind(IntEnum):
    """What a chunk is, and what a pack holds."""

    DATA = 0
    OBJECT = 1


@dataclass(frozen=True, slots=True)
class PackedChunk:
    """One chunk of a pack: offset and lengths in bytes."""

    id: ChunkId
    offset: int
    stored: int
    raw: int
    codec: int
    kind: Kind
    element: int


def encode_table(chunks: Sequence[PackedChunk]) -> bytes:
    """The table's bytes, 48 a chunk."""
    return b"".join(
        ENTRY.pack(c.id, c.offset, c.stored, c.raw, c.codec, c.kind, c.element) for c in chunks
    )


def decode_table(data: bytes | memoryview, pack_length: int) -> tuple[PackedChunk, ...]:
    """The chunks of a table; ShardDamagedError unless they lie end to end in the pack."""
    if len(data) % ENTRY.size:
        raise ShardDamagedError(
            f"a chunk table of {len(data)} bytes is no multiple of {ENTRY.size}"
        )
    chunks: list[PackedChunk] = []
    position = 0
    for id_, offset, stored, raw, codec, kind, element in ENTRY.iter_unpack(data):
        if offset != position or not 0 < stored <= raw <= MAX_CHUNK or kind > Kind.OBJECT:
            raise ShardDamagedError(f"a chunk table contradicts itself at chunk {len(chunks)}")
        position += stored
        chunks.append(PackedChunk(ChunkId(id_), offset, stored, raw, codec, Kind(kind), element))
    if position != pack_length:
        raise ShardDamagedError(f"a chunk table covers {position} of {pack_length} bytes")
    return tuple(chunks)
