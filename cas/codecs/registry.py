"""Every codec by its number, and which of them a chunk is stored with."""

from typing import Final

from ...errors import FormatError
from ..chunking.regions import ElementType
from .codec import Buffer, Codec
from .effort import Effort
from .raw import RAW
from .sample import is_worth_it
from .zstd import ZSTD

CODECS: Final = {codec.number: codec for codec in (RAW, ZSTD)}

# What is tried on a chunk of each element type, in this order.
_CANDIDATES: Final[dict[ElementType, tuple[Codec, ...]]] = dict.fromkeys(ElementType, (ZSTD,))


def choose(
    raw: memoryview, element: ElementType, effort: Effort = Effort.BALANCED
) -> tuple[int, Buffer]:
    """The number of the codec to store a chunk with, and its encoded bytes.

    The first candidate whose result is at least 3 % smaller is taken. Otherwise, and always at
    effort `fast`, the chunk stays raw, and the buffer returned is `raw` itself: the caller must not
    change it meanwhile.
    """
    for codec in () if effort is Effort.FAST else _CANDIDATES[element]:
        encoded = codec.encode(raw)
        if encoded is not None and is_worth_it(len(raw), len(encoded)):
            return codec.number, encoded
    return RAW.number, raw


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
