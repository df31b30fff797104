"""Codec 8, `palette`: the few different words of a chunk, and for each word which one it is.

Masks, one-hot tables, token types, weights that were clustered or rounded hard. Its entropy is that
of the words as a whole, where planes only have that of their bytes.
"""

import struct
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .codec import Buffer, Codec, Decoder
from .frames import damaged
from .planes import decode_planes, encode_plane, pack
from .split import Bytes

NUMBER: Final = 8
SIZES: Final = (1, 2, 4, 8)
"""Bytes that a word can have."""
MOST: Final = 256
"""Different words, at most: an index is one byte or less."""

_HEAD: Final = struct.Struct("<BB")
_LOOK: Final = 4096
"""Words looked at first, from all over the chunk; with more than MOST among them it is over."""

Words = NDArray[Any]


def index_bits(count: int) -> int:
    """Bits of an index into so many values: 1, 2, 4 or 8."""
    return next(bits for bits in (1, 2, 4, 8) if count <= 1 << bits)


def distinct(words: Words) -> Words | None:
    """The different ones among `words`, sorted; None where there are more than MOST."""
    found = np.unique(words[:: max(1, len(words) // _LOOK)])
    if len(found) > MOST:
        return None
    others = words[found[_places(found, words)] != words]
    # Where the rest is many, it is told by a part of it: sorting all would take the time.
    if len(np.unique(others[:_LOOK])) + len(found) > MOST:
        return None
    found = np.union1d(found, others)
    return found if len(found) <= MOST else None


def _places(values: Words, words: Words) -> Bytes:
    """For each word the index of the first value that is not below it, or of the last value."""
    if words.itemsize > 2:
        return np.minimum(np.searchsorted(values, words), len(values) - 1).astype(np.uint8)
    every = np.arange(1 << 8 * words.itemsize, dtype=words.dtype)
    table = np.minimum(np.searchsorted(values, every), len(values) - 1).astype(np.uint8)
    return table[words]


def encode(size: int, raw: memoryview) -> bytes | None:
    """Words of `size` bytes, the odd bytes behind them; None where too many are different."""
    count = len(raw) // size
    words = np.frombuffer(raw[: count * size], f"<u{size}")
    values = distinct(words) if count else None
    if values is None:
        return None
    indexes = _packed(_places(values, words), index_bits(len(values)))
    head = _HEAD.pack(size, len(values) - 1) + values.tobytes()
    return head + pack([encode_plane(indexes)], raw[count * size :])


def _packed(indexes: Bytes, bits: int) -> Bytes:
    """Several indexes a byte, the first in the lowest bits."""
    each = 8 // bits
    packed = np.zeros(-(-len(indexes) // each), np.uint8)
    for place in range(each):
        part = indexes[place::each]
        packed[: len(part)] |= part << np.uint8(bits * place)
    return packed


def decode(encoded: Buffer, out: memoryview) -> None:
    """Fill `out`; ChunkDamagedError where values and indexes do not add up to it."""
    values, rest = _read_values(memoryview(encoded), len(out))
    size, bits = values.itemsize, index_bits(len(values))
    each, count = 8 // bits, len(out) // size
    (packed,) = decode_planes(rest, [-(-count // each)], out[count * size :])
    indexes = np.arange(256)[:, None] >> np.arange(0, 8, bits) & (1 << bits) - 1
    if (indexes >= len(values)).any(axis=1).take(packed).any():
        raise damaged("chunk", len(out), f"an index is none of its {len(values)} values")
    # What each byte of indexes stands for, as one item: so the words are gathered in one go.
    table = values.take(indexes, mode="clip").view(f"V{each * size}").ravel()
    whole, odd = divmod(count, each)
    filled = whole * each * size
    table.take(packed[:whole], out=np.frombuffer(out[:filled], table.dtype), mode="clip")
    out[filled : count * size] = table[packed[whole:]].tobytes()[: odd * size]


def _read_values(encoded: memoryview, size: int) -> tuple[Words, memoryview]:
    """The values before the indexes of a chunk of `size` bytes, and the rest; ChunkDamagedError."""
    if len(encoded) < _HEAD.size:
        raise damaged("chunk", size, "its palette is cut short")
    width, last = _HEAD.unpack_from(encoded)
    end = _HEAD.size + width * (last + 1)
    if width not in SIZES or size < width or len(encoded) < end:
        raise damaged("chunk", size, f"its palette has {last + 1} values of {width} bytes")
    return np.frombuffer(encoded[_HEAD.size : end], f"<u{width}"), encoded[end:]


def _codec(size: int) -> Codec:
    return Codec(NUMBER, "palette", decode, partial(encode, size))


PALETTES: Final = {size: _codec(size) for size in SIZES}
"""The codec for words of each size; all of them decode alike."""
PALETTE: Final = Decoder(NUMBER, "palette", decode)
"""It reads words of every size."""
