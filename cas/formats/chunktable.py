"""The chunk table: what lies where in a pack. `docs/format.md`, Chunk table entry."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from ...errors import ShardDamagedError
from ...ids import ChunkId

if TYPE_CHECKING:
    import numpy as np

ENTRY: Final = struct.Struct("<32sIIIBBBx")
FIELDS: Final = [
    ("id", "V32"),
    ("offset", "<u4"),
    ("stored", "<u4"),
    ("raw", "<u4"),
    ("codec", "u1"),
    ("kind", "u1"),
    ("element", "u1"),
    ("reserved", "u1"),
]
"""`ENTRY` as numpy sees it, for tables that are looked at as a whole. numpy itself is imported by
who does so: to list what is stored takes none."""
CODEC_AT: Final = 44
"""Where in an entry the codec stands."""
PACK_SIZE: Final = 64 << 20
"""Longest pack, bytes."""
PACK_CHUNKS: Final = 16_384
"""Most chunks in a pack."""
MAX_CHUNK: Final = 1 << 20
"""Longest chunk, raw bytes."""
TAG_SIZE: Final = 16
"""Bytes by which an encrypted chunk, or chunk table, is longer than in the clear."""
MAX_STORED: Final = MAX_CHUNK + TAG_SIZE
"""Longest chunk as it is stored."""


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


def codecs_of_table(data: bytes | memoryview) -> Sequence[int]:
    """The codecs of the chunks of a table that was checked, each once."""
    import numpy as np

    found: list[int] = np.unique(np.frombuffer(data, FIELDS)["codec"]).tolist()
    return found


def check_table(
    data: bytes | memoryview, pack_length: int, overhead: int = 0
) -> "np.ndarray[Any, Any]":
    """A table as an array of `FIELDS`, checked as `decode_table` does, without a value a chunk."""
    import numpy as np

    if len(data) % ENTRY.size:
        raise ShardDamagedError(
            f"a chunk table of {len(data)} bytes is no multiple of {ENTRY.size}"
        )
    table = np.frombuffer(data, FIELDS)
    stored = table["stored"].astype(np.int64)
    ends = np.cumsum(stored, dtype=np.uint64)
    sound = (
        (table["offset"] == ends - table["stored"])
        & (stored > overhead)
        & (stored - overhead <= table["raw"])
        & (table["raw"] <= MAX_CHUNK)
        & (table["kind"] <= Kind.OBJECT)
    )
    if not sound.all():
        raise ShardDamagedError(f"a chunk table contradicts itself at chunk {sound.argmin()}")
    if not len(table) or int(ends[-1]) != pack_length:
        raise ShardDamagedError(f"a chunk table does not cover {pack_length} bytes")
    return table


def decode_table(
    data: bytes | memoryview, pack_length: int, overhead: int = 0
) -> tuple[PackedChunk, ...]:
    """The chunks of a table; ShardDamagedError unless they lie end to end in the pack.

    `overhead` is TAG_SIZE where they are encrypted: by so much a chunk may be longer than raw.
    """
    if len(data) % ENTRY.size:
        raise ShardDamagedError(
            f"a chunk table of {len(data)} bytes is no multiple of {ENTRY.size}"
        )
    chunks: list[PackedChunk] = []
    position = 0
    for id_, offset, stored, raw, codec, kind, element in ENTRY.iter_unpack(data):
        sound = 0 < stored - overhead <= raw <= MAX_CHUNK and kind <= Kind.OBJECT
        if offset != position or not sound:
            raise ShardDamagedError(f"a chunk table contradicts itself at chunk {len(chunks)}")
        position += stored
        chunks.append(PackedChunk(ChunkId(id_), offset, stored, raw, codec, Kind(kind), element))
    if position != pack_length:
        raise ShardDamagedError(f"a chunk table covers {position} of {pack_length} bytes")
    return tuple(chunks)
