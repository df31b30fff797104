"""Codecs 6 to 9, fuzzed: a decoder fills its buffer or refuses, and touches nothing else; what an
encoder makes of any bytes comes back. A few thousand inputs each by default, a minute each in the
slow matrix.

An input to a decoder is the chunk's raw length (u32) and its encoded bytes.
"""

import struct
from collections.abc import Callable

import pytest

from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.codecs.codec import Decoder
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.codecs.fields import FIELDS, fields, words
from modelfloat.cas.codecs.layouts import LAYOUTS
from modelfloat.cas.codecs.palette import PALETTE, PALETTES
from modelfloat.cas.codecs.registry import choose, decode
from modelfloat.cas.codecs.repeat import REPEAT
from modelfloat.cas.codecs.single import BYTES
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.blocks import eights, few, q4_1
from modelfloat.tests.support.codecchecks import coming_back, decoding, golden_inputs
from modelfloat.tests.support.fuzzing import Target, fuzz
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.weights import normal

DECODERS: dict[str, Decoder] = {
    "bytes": BYTES,
    "fields": FIELDS,
    "palette": PALETTE,
    "repeat": REPEAT,
}
LENGTHS = {
    "bytes": 4000,
    "fields": 8003,
    "fields-woven": 3300,
    "palette-1": 3001,
    "palette-2": 6003,
    "palette-4": 12_007,
    "palette-8": 24_015,
    "repeat": 2802,
}


def first_plane(name: str, data: bytes) -> int:
    """Where the container begins, and so the method of its first plane."""
    if name == "fields":
        return 5 + 3 * data[4]
    return 6 + data[4] * (data[5] + 1) if name == "palette" else 4


def fit(name: str) -> Callable[[bytes], bytes]:
    """The first plane's length made what lets the planes add up, as far as that can be told."""

    def mend(data: bytes) -> bytes:
        if len(data) < 6 or name == "repeat":
            return data
        at = first_plane(name, data)
        planes = 1 + max(data[7:at:3], default=0) if name == "fields" else 1
        if len(data) < at + 5 * planes:
            return data
        others = sum(struct.unpack_from("<I", data, at + 6 + 5 * i)[0] for i in range(planes - 1))
        first = len(data) - at - 5 * planes - others
        return data[: at + 1] + struct.pack("<I", first % (1 << 32)) + data[at + 5 :]

    return mend


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_refuse_what_they_cannot_decode(name: str, effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    seeds = [*golden_inputs(name, LENGTHS)]
    target = Target(decoding(DECODERS[name]), seeds, (ChunkDamagedError,), fit(name))
    assert fuzz(target, inputs, seconds, seed) >= inputs


ENCODERS = {
    "bytes": BYTES,
    "blocks": fields(LAYOUTS[ElementType.Q4_1]),
    "woven": fields(LAYOUTS[ElementType.IQ2_XS]),
    "columns": fields(words(8)),
    **{f"palette of {size}": codec for size, codec in PALETTES.items()},
    "repeat": REPEAT,
}
CHUNKS = [eights(999), q4_1(60) + b"odd", few(1, 3, 900), few(4, 40, 300), b"abcdabcd" * 40]


@pytest.mark.parametrize("name", ENCODERS)
def test_what_is_encoded_comes_back(name: str, effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    target = Target(coming_back(ENCODERS[name]), CHUNKS)
    assert fuzz(target, inputs // 4, seconds, seed) >= inputs // 4


def choose_any(data: bytes) -> None:
    """The first two bytes say which type and effort."""
    elements, efforts, raw = [*ElementType], [*Effort], memoryview(data[2:])
    which = data[:2].ljust(2, b"\0")
    number, encoded = choose(raw, elements[which[0] % len(elements)], efforts[which[1] % 3])
    assert number == 0 or len(encoded) < len(raw)
    out = bytearray(len(raw))
    decode(number, encoded, memoryview(out))
    assert out == raw


def test_whatever_is_chosen_comes_back(effort: tuple[int, float, int]) -> None:
    inputs, seconds, seed = effort
    large = [b"\0\1" + normal("fp32", 70_001), b"\x0b\1" + noise(1, 80_000)]
    target = Target(choose_any, [b"\0\1" + chunk for chunk in CHUNKS] + large)
    assert fuzz(target, inputs // 4, seconds, seed) >= inputs // 4
