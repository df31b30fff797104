"""Codec 9, `repeat`: 1, 2, 4 or 8 bytes again and again: zeros, ones, a constant bias."""

from typing import Final

import numpy as np

from .codec import Buffer, Codec
from .frames import damaged

PERIODS: Final = (1, 2, 4, 8)

_LONGEST: Final = PERIODS[-1]
_FEW: Final = 64
"""Bytes that tell of nearly every chunk that nothing repeats."""
_BLOCK: Final = 8 << 10
"""Words that are compared at a time."""


def encode(raw: memoryview) -> bytes | None:
    """The bytes that repeat; None where none do. Nearly every chunk is told by its start."""
    first = bytes(raw[:_LONGEST])
    if len(raw) <= _LONGEST or bytes(raw[:_FEW]) != (first * (_FEW // _LONGEST))[: len(raw)]:
        return None
    whole = len(raw) // _LONGEST * _LONGEST
    words = np.frombuffer(raw[:whole], "<u8")
    for at in range(0, len(words), _BLOCK):
        if (words[at : at + _BLOCK] != words[0]).any():
            return None
    if bytes(raw[whole:]) != first[: len(raw) - whole]:
        return None
    return next(first[:p] for p in PERIODS if first[:p] * (_LONGEST // p) == first)


def decode(encoded: Buffer, out: memoryview) -> None:
    """Fill `out`; ChunkDamagedError unless there are 1, 2, 4 or 8 bytes to do it with."""
    period = len(encoded)
    if period not in PERIODS:
        raise damaged("chunk", len(out), f"{period} bytes are said to repeat")
    whole = len(out) // period * period
    np.frombuffer(out[:whole], f"<u{period}")[:] = int.from_bytes(encoded, "little")
    out[whole:] = encoded[: len(out) - whole]


REPEAT: Final = Codec(9, "repeat", decode, encode)
