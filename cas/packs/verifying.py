"""Whether a chunk is what its id says, from its encoded bytes. CPU work, for worker threads."""

from blake3 import blake3

from ...errors import ModelFloatError
from ..codecs.registry import decode
from ..formats.chunktable import PackedChunk


def verifies(chunk: PackedChunk, data: memoryview) -> bool:
    """Whether a chunk's encoded bytes decode to its id."""
    if chunk.codec:
        out = memoryview(bytearray(chunk.raw))
        try:
            decode(chunk.codec, data, out)
        except ModelFloatError:
            return False
        data = out
    return blake3(data).digest() == chunk.id
