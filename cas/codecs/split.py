"""Words into byte planes and back: rotated left by one bit, then byte by byte.

A float's sign stands in front of its exponent. Rotated, the exponent of a BF16 or F32 is one whole
byte, and the sign joins the lowest mantissa bits, which are as random as it is. Plane 0 has the
most significant byte of each rotated word, and so on down.

Work is done in blocks of a chunk at most, in buffers that each thread keeps: memory touched for the
first time costs more than the arithmetic. Bytes are gathered by casts and shifts,
which NumPy does many at a time; strided copies go byte by byte and take more than twice as long.
"""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .codec import Buffer

BLOCK: Final = 1 << 20
"""Bytes of words that are worked on at a time: whole chunks.

Blocks that fit a second-level cache are no faster on one core, and on two they keep the threads
waiting for each other: every operation on a block is one more turn at Python's lock. Two threads
encode BF16 1.65 times as fast as one with blocks of 1 MiB, 1.2 to 1.4 times with 256 KiB.
"""

Word = np.uint16 | np.uint32 | np.uint64

_WORDS: Final[dict[int, np.dtype[Word]]] = {
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}

Bytes = NDArray[np.uint8]
Words = NDArray[Any]


class _Scratch(threading.local):
    """Two blocks a thread."""

    def __init__(self) -> None:
        self.one = np.empty(BLOCK, np.uint8)
        self.two = np.empty(BLOCK, np.uint8)


_scratch: Final = _Scratch()


def split(raw: Buffer, size: int, planes: Sequence[Bytes]) -> None:
    """Fill `size` planes of n bytes each from n little-endian words of `size` bytes (2, 4 or 8)."""
    words = np.frombuffer(raw, _WORDS[size])
    one, two = _scratch.one.view(words.dtype), _scratch.two.view(words.dtype)
    for at in range(0, len(words), len(one)):
        part = words[at : at + len(one)]
        rotated, spare = one[: len(part)], two[: len(part)]
        np.left_shift(part, 1, out=rotated)
        np.right_shift(part, 8 * size - 1, out=spare)
        np.bitwise_or(rotated, spare, out=rotated)
        for plane in reversed(planes):
            np.copyto(plane[at : at + len(part)], rotated, casting="unsafe")  # The lowest byte.
            if plane is not planes[0]:
                np.right_shift(rotated, 8, out=rotated)


def join(planes: Sequence[Bytes], size: int, out: memoryview) -> None:
    """Fill `out` with the words that `planes`, the most significant first, are of."""
    words = np.frombuffer(out, _WORDS[size])
    for at in range(0, len(words), BLOCK // size):
        part = words[at : at + BLOCK // size]
        spare = _gather([plane[at : at + len(part)] for plane in planes], part)
        np.left_shift(part, 8 * size - 1, out=spare)
        np.right_shift(part, 1, out=part)
        np.bitwise_or(part, spare, out=part)


def _gather(parts: list[Words], out: Words) -> Words:
    """Two parts each as one of words twice as wide, until one is left, in `out`; as much room.

    The last of them come together where they are wanted: of a megabyte each, one array less is
    worked on, and what does not fit the second-level cache takes a quarter longer.
    """
    here, there = _scratch.one, _scratch.two
    while len(parts) > 1:
        length, kind = 2 * parts[0].nbytes, _WORDS[2 * parts[0].itemsize]
        rooms = [here[length * i : length * (i + 1)].view(kind) for i in range(len(parts) // 2)]
        wide = [out] if len(parts) == 2 else rooms
        for into, high, low in zip(wide, parts[::2], parts[1::2], strict=True):
            np.copyto(into, high)
            np.left_shift(into, 8 * low.itemsize, out=into)
            np.bitwise_or(into, low, out=into)
        parts, here, there = wide, there, here
    return here[: out.nbytes].view(out.dtype)
