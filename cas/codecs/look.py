"""A look at the words of a chunk: what a few of them tell about all."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FEW: Final = 256
"""With so many different words among those looked at, a palette may be worth a try."""

_WORDS: Final = 512
_SLICE: Final = 16 << 10
_CLEARER: Final = 0.95
"""Floats of any size have 0.90 and less, code, text and quantised blocks 0.97 and more."""
_PENALTY: Final = 0.02
_NOUGHT: Final = 1e-6
_ODD: Final = 0.95
"""Words of four bytes or more that weights have are nearly all different."""


def sampled(raw: memoryview, size: int) -> NDArray[Any]:
    """Some five hundred words of `size` bytes from all over the chunk, sorted."""
    words = np.frombuffer(raw[: len(raw) // size * size], f"<u{size}")
    # An odd step: rows have an even number of columns, and shall not be met in one of them only.
    return np.sort(words[:: max(1, len(words) // _WORDS) | 1])


def different(ordered: NDArray[Any]) -> int:
    """How many of sorted words differ."""
    return min(1, len(ordered)) + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def has_few(raw: memoryview, size: int) -> bool:
    """Whether words of `size` bytes seem to be FEW; of one byte, where 16 fit half a byte."""
    return different(sampled(raw, size)) <= (FEW if size > 1 else 16)


def repeats(raw: memoryview) -> bool:
    """Whether more bytes than weights have come again in fours: zeros, rounded or equal rows."""
    ordered = sampled(raw, 4)
    return different(ordered) < _ODD * len(ordered)


def word_size(raw: memoryview) -> int | None:
    """The size of the words that bytes of an unknown kind seem to be, 8, 4 or 2; None for none.

    Numbers show in columns: their upper bytes are alike, their lower ones random. Each column of
    a slice is less mixed than the slice as a whole, wherever in a word it begins.
    """
    if len(raw) < _SLICE:
        return None
    start = (len(raw) - _SLICE) // 2
    columns = _columns(np.frombuffer(raw[start : start + _SLICE], np.uint8))
    mixed = {words: _entropy(columns, words) / _entropy(columns, 1) for words in (2, 4, 8)}
    # A column of few bytes looks less mixed than it is, the more so the narrower.
    likeliest = min(mixed, key=lambda words: mixed[words] + _PENALTY * words.bit_length())
    return likeliest if mixed[likeliest] < _CLEARER else None


def _columns(part: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each byte is in each of eight columns: 8 rows of 256."""
    places = part.reshape(-1, 8) + np.arange(0, 8 * 256, 256, dtype=np.uint16)
    return np.bincount(places.ravel(), minlength=8 * 256).reshape(8, 256)


def _entropy(columns: NDArray[np.int64], words: int) -> float:
    """Bits a byte, by frequency in each column of words of that size; never quite 0."""
    counts = columns.reshape(8 // words, words, 256).sum(axis=0)
    each = counts * np.log2(np.maximum(counts, 1))
    return float(np.log2(_SLICE // words) - each.sum() / _SLICE) + _NOUGHT
