"""Codec 6, `bytes`: elements of one byte or less, as one plane. `docs/format.md`, Planes.

FP8, I8 and U8 weights, and types of four or six bits: some values are far more frequent than
others, but they do not repeat in any order that zstd's levels could find.
"""

from typing import Final

import numpy as np

from .codec import Buffer, Codec
from .planes import decode_planes, encode_planes


def encode(raw: memoryview) -> bytes | None:
    """One plane; None where it does not shrink."""
    return encode_planes([np.frombuffer(raw, np.uint8)])


def decode(encoded: Buffer, out: memoryview) -> None:
    """Fill `out`; ChunkDamagedError where the plane is not of its length."""
    (plane,) = decode_planes(encoded, [len(out)], out[:0])
    np.copyto(np.frombuffer(out, np.uint8), plane)


BYTES: Final = Codec(6, "bytes", decode, encode)
