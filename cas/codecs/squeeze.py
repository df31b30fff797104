"""Two planes of floats coded as one: exponents together with the mantissa bits right behind them.

The leading bits of a mantissa are not quite random, least of all where exponents are rare; and a
code of whole bits fits four bits more of every word better. So byte A of a word is its exponent,
less a base, and the upper half of the next plane's byte; it is Huffman coded. The lower halves,
two a byte, are B. A exponent outside base … base + 15 is an escape and listed apart. Measured on
F32 N(0, 0.02): 0.8293 of the whole instead of 0.8314; `docs/decisions/0014-floats-by-planes.md`.
"""

import struct
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import huffman
from .codec import Buffer
from .frames import damaged
from .split import Bytes

SMALLEST: Final = 32 << 10
"""Bytes a plane has at least: in shorter ones the longer table of symbols eats what is saved."""
RAREST: Final = 512
"""One escape in so many words costs as much as is saved."""

_HEAD: Final = struct.Struct("<BI")
_WINDOW: Final = 16
_STEP: Final = 16
_BLOCK: Final = 64 << 10
"""Pairs of bytes that are worked on at a time: they stay in the processor's cache."""


class _Scratch(threading.local):
    """One block a thread."""

    def __init__(self) -> None:
        self.pairs = np.empty(_BLOCK, np.uint16)


_scratch: Final = _Scratch()


def squeeze(exponents: Bytes, mantissas: Bytes) -> tuple[Buffer, Buffer] | None:
    """What is stored for two planes of one even length; None where they do not suit.

    Both are overwritten then. The second result lies in `mantissas`.
    """
    count = len(exponents)
    if count < SMALLEST or count % 2:
        return None
    base = _base(exponents)
    np.subtract(exponents, np.uint8(base), out=exponents)
    positions = _escapes(exponents)
    if len(positions) > count // RAREST:
        np.add(exponents, np.uint8(base), out=exponents)
        return None
    escaped = exponents[positions] + np.uint8(base)
    exponents[positions] = 0
    nibbles = _interleave(exponents, mantissas)
    head = _HEAD.pack(base, len(positions)) + positions.astype("<u4").tobytes() + escaped.tobytes()
    return head + huffman.encode(exponents.data), nibbles.data


def _base(exponents: Bytes) -> int:
    """The start of the window that holds most of them, as every sixteenth tells."""
    counts = np.bincount(exponents[::_STEP], minlength=256)
    sums = np.concatenate(([0], np.cumsum(counts)))
    return int(np.argmax(sums[_WINDOW:] - sums[:-_WINDOW]))


def _escapes(above: Bytes) -> NDArray[np.intp]:
    """Where exponents, less the base, are outside the window."""
    blocks = range(0, len(above), _BLOCK)
    return np.concatenate(
        [np.flatnonzero(above[at : at + _BLOCK] >= _WINDOW) + at for at in blocks]
    )


def _interleave(exponents: Bytes, mantissas: Bytes) -> Bytes:
    """Make `exponents` A, and give B, at the start of `mantissas`."""
    above, below = exponents.view("<u2"), mantissas.view("<u2")
    for at in range(0, len(above), _BLOCK):
        high, low = above[at : at + _BLOCK], below[at : at + _BLOCK]
        spare = _scratch.pairs[: len(high)]
        np.left_shift(high, 4, out=high)
        np.right_shift(low, 4, out=spare)
        np.bitwise_and(spare, 0x0F0F, out=spare)
        np.bitwise_or(high, spare, out=high)
        np.bitwise_and(low, 0x0F0F, out=low)
        np.right_shift(low, 4, out=spare)
        np.bitwise_or(low, spare, out=spare)
        np.copyto(mantissas[at : at + len(low)], spare, casting="unsafe")
    return mantissas[: len(above)]


def expand(encoded: memoryview, nibbles: memoryview, exponents: Bytes, mantissas: Bytes) -> None:
    """Fill two planes of one length; ChunkDamagedError where what is stored is not of them."""
    count = len(exponents)
    if count % 2 or len(nibbles) != count // 2 or len(encoded) < _HEAD.size:
        raise damaged("plane", count, "it is squeezed and cut short")
    base, escapes = _HEAD.unpack_from(encoded)
    values = _HEAD.size + 4 * escapes
    if base > 256 - _WINDOW or len(encoded) < values + escapes:
        raise damaged("plane", count, f"it has {escapes} escapes from {base}")
    positions = np.frombuffer(encoded, "<u4", escapes, _HEAD.size)
    if escapes and int(positions.max()) >= count:
        raise damaged("plane", count, f"an escape lies at {positions.max()}")
    huffman.decode(encoded[values + escapes :], exponents.data)
    _separate(exponents, mantissas, np.frombuffer(nibbles, np.uint8), base)
    exponents[positions] = np.frombuffer(encoded, np.uint8, escapes, values)


def _separate(exponents: Bytes, mantissas: Bytes, nibbles: Bytes, base: int) -> None:
    """Make A, which `exponents` holds, and B the two planes."""
    above, below = exponents.view("<u2"), mantissas.view("<u2")
    for at in range(0, len(above), _BLOCK):
        high, low = above[at : at + _BLOCK], below[at : at + _BLOCK]
        spare = _scratch.pairs[: len(high)]
        np.copyto(low, nibbles[at : at + len(low)])
        np.left_shift(low, 4, out=spare)
        np.bitwise_or(low, spare, out=low)
        np.bitwise_and(low, 0x0F0F, out=low)
        np.left_shift(high, 4, out=spare)
        np.bitwise_and(spare, 0xF0F0, out=spare)
        np.bitwise_or(low, spare, out=low)
        np.right_shift(high, 4, out=high)
        np.bitwise_and(high, 0x0F0F, out=high)
        np.add(high, base * 0x0101, out=high)
