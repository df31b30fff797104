"""Codecs 2 to 5, `bf16`, `fp16`, `fp32` and `fp64`: floats by byte planes. `docs/format.md`.

The exponents of weights are few and uneven, the mantissas as good as random: apart from each other
the former shrink to a third, the latter are left alone. Where they are not random (F32 that holds
BF16 values, weights rounded to few bits) their planes shrink or are stored as one byte.
"""

from typing import Final

from .codec import Buffer, Codec
from .frames import damaged
from .planes import decode_planes, encode_planes, room
from .split import join, split


def encode(raw: memoryview, size: int, squeezed: bool = False) -> bytes | None:
    """Words of `size` bytes by planes, the odd bytes behind them; None where no plane shrinks."""
    count = len(raw) // size
    if not count:
        return None
    planes = room([count] * size)
    split(raw[: count * size], size, planes)
    return encode_planes(planes, raw[count * size :], squeezed=squeezed)


def decode(encoded: Buffer, out: memoryview, size: int) -> None:
    """Fill `out`; ChunkDamagedError where the planes do not add up to it."""
    count = len(out) // size
    if not count:
        raise damaged("chunk", len(out), f"it has no word of {size} bytes")
    planes = decode_planes(encoded, [count] * size, out[count * size :])
    join(planes, size, out[: count * size])


def _codec(number: int, name: str, size: int, squeezed: bool = False) -> Codec:
    return Codec(
        number,
        name,
        lambda encoded, out: decode(encoded, out, size),
        lambda raw: encode(raw, size, squeezed),
    )


BF16: Final = _codec(2, "bf16", 2)
BF16_SMALL: Final = _codec(2, "bf16", 2, squeezed=True)
"""The same codec with an encoder that takes longer: 0.659 of N(0, 0.02) instead of 0.663."""
FP16: Final = _codec(3, "fp16", 2)
FP32: Final = _codec(4, "fp32", 4, squeezed=True)
FP64: Final = _codec(5, "fp64", 8)
