"""A chunk's place in a file."""

from dataclasses import dataclass

from ..ids import ChunkId


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Chunk `id` holds the file's bytes [offset, offset + raw)."""

    id: ChunkId
    offset: int
    raw: int
