"""Blocks of quantised weights, elements of a byte, words of few values; the same for ever."""

import struct
from math import sqrt

from modelfloat.tests.support.samples import noise


def q4_1(count: int) -> bytes:
    """`count` blocks as ggml's Q4_1 has them: a scale, a minimum (FP16), 32 quants of four bits."""
    made, stream = bytearray(), noise("q4_1", 40 * count)
    for at in range(0, len(stream), 40):
        scale = 0.004 + stream[at] / 60_000
        made += struct.pack("<2e", scale, -scale * (7 + stream[at + 1] / 256))
        made += bytes(_quant(x) | _quant(y) << 4 for x, y in _pairs(stream[at + 8 : at + 40]))
    return bytes(made)


def eights(count: int) -> bytes:
    """`count` bytes as FP8 or INT8 weights have them: those in the middle are the most frequent."""
    low, high = noise("low", count), noise("high", count)
    return bytes(128 + (x + y - 255) // 8 & 255 for x, y in zip(low, high, strict=True))


def few(size: int, values: int, count: int) -> bytes:
    """`count` words of `size` bytes that have so many values; small ones are more frequent."""
    palette = [noise(f"value {i}", size) for i in range(values)]
    stream = noise("which", 2 * count)
    return b"".join(palette[x * y * values >> 16] for x, y in _pairs(stream))


def _pairs(stream: bytes) -> list[tuple[int, int]]:
    return list(zip(stream[::2], stream[1::2], strict=True))


def _quant(byte: int) -> int:
    """Quants in the middle are more frequent than those at the ends."""
    away = sqrt(abs(byte - 127.5) / 127.5) * 8
    return int(8 + away if byte > 127 else 8 - away) & 15
