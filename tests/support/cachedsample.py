"""A file for the disk cache, its chunks and the head of its map."""

from typing import Final

from blake3 import blake3

from modelfloat.cas.formats.cachemap import MapHead
from modelfloat.cas.read.recipe import ChunkSpan
from modelfloat.ids import ChunkId
from modelfloat.tests.support.samples import noise

RAW: Final = 20_000
COUNT: Final = 60


def chunk(number: int) -> bytes:
    """The bytes of a chunk."""
    return noise(f"cached {number}", RAW)


CONTENT: Final = b"".join(map(chunk, range(COUNT)))
PIECES: Final = [
    ChunkSpan(ChunkId(blake3(chunk(n)).digest()), n * RAW, RAW, n) for n in range(COUNT)
]
HEAD: Final = MapHead(len(CONTENT), COUNT, blake3(CONTENT).digest(), blake3(b"cut").digest())
