"""Every codec by its number: what chunks are stored with, and read by."""

from typing import Final

from ...errors import FormatError
from ..chunking.regions import ElementType
from .choice import encode_best
from .codec import Buffer, Decoder
from .effort import Effort
from .fields import FIELDS
from .floats import BF16, FP16, FP32, FP64
from .palette import PALETTE
from .raw import RAW
from .repeat import REPEAT
from .single import BYTES
from .zstd import ZSTD

CODECS: Final[dict[int, Decoder]] = {
    codec.number: codec
    for codec in (RAW, ZSTD, BF16, FP16, FP32, FP64, BYTES, FIELDS, PALETTE, REPEAT)
}


def choose(
    raw: memoryview, element: ElementType, effort: Effort = Effort.BALANCED
) -> tuple[int, Buffer]:
    """The number of the codec to store a chunk with, and its encoded bytes.

    The result is at least 3 % smaller, or else the chunk stays raw: then the buffer returned is
    `raw` itself, and the caller must not change it meanwhile. At effort `fast` that is so with
    everything but a few bytes that repeat.
    """
    codec, encoded = encode_best(raw, element, effort)
    return codec.number, encoded


def decode(number: int, encoded: Buffer, out: memoryview) -> None:
    """Fill `out`, as long as the chunk's raw length, from its encoded bytes.

    ChunkDamagedError when they do not decode to exactly that many bytes, FormatError for a codec
    that this release does not know. The caller still has to check the BLAKE3 of `out`.
    """
    codec = CODECS.get(number)
    if codec is None:
        raise FormatError(
            f"a chunk is stored with codec {number}, made by a newer release; upgrade ModelFloat"
        )
    codec.decode(encoded, out)
