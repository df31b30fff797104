"""Codecs 6 to 9: what they make smaller, what they refuse; nothing is written elsewhere."""

import struct

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType
from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.fields import Layout, Run, fields, read_layout, words
from modelfloat.cas.codecs.layouts import LAYOUTS
from modelfloat.cas.codecs.palette import PALETTES, distinct, index_bits
from modelfloat.cas.codecs.repeat import REPEAT
from modelfloat.cas.codecs.single import BYTES
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.blocks import eights, few, q4_1
from modelfloat.tests.support.sources import noise

Q4_1 = LAYOUTS[ElementType.Q4_1]


def stored(codec: Codec, raw: bytes) -> int | None:
    """Its encoded length, once it came back; None where the codec declines."""
    encoded = codec.encode(memoryview(raw))
    if encoded is None:
        return None
    assert decoded(codec, bytes(encoded), len(raw)) == raw
    return len(encoded)


def decoded(codec: Codec, encoded: bytes, size: int) -> bytes:
    around = memoryview(bytearray(b"\xa5" * (size + 128)))
    try:
        codec.decode(encoded, around[64:-64])
    finally:
        assert bytes(around[:64]) == bytes(around[-64:]) == b"\xa5" * 64
    return bytes(around[64:-64])


# Fields


def test_a_layout_knows_its_block_and_its_planes() -> None:
    layout = Layout.of((1, 0), (2, 1), (3, 0), (1, 2))
    assert (layout.block, layout.widths) == (7, (4, 2, 1))
    encoded = layout.encode()
    assert encoded == b"\4" + struct.pack("<HBHBHBHB", 1, 0, 2, 1, 3, 0, 1, 2)
    again, rest = read_layout(memoryview(encoded + b"rest"), 9)
    assert (again, bytes(rest)) == (layout, b"rest")


def test_planes_have_the_bytes_of_all_blocks_in_order() -> None:
    layout = Layout.of((1, 0), (2, 1), (1, 0))
    planes = [np.zeros(4, np.uint8), np.zeros(4, np.uint8)]
    layout.split(np.frombuffer(b"abcdABCD", np.uint8), planes)
    assert [plane.tobytes() for plane in planes] == [b"adAD", b"bcBC"]
    blocks = np.zeros(8, np.uint8)
    layout.join(planes, blocks)
    assert blocks.tobytes() == b"abcdABCD"


@pytest.mark.parametrize("element", LAYOUTS, ids=lambda e: e.name)
def test_layouts_are_of_their_types_blocks(element: ElementType) -> None:
    layout = LAYOUTS[element]
    assert layout.block == element.block.bytes
    assert len(layout.runs) < 256
    blocks = np.repeat(np.arange(3, dtype=np.uint8), layout.block).tobytes()
    assert stored(fields(layout), blocks + b"x" * (layout.block - 1)) is not None


def test_scales_are_told_from_quants() -> None:
    raw = q4_1(2000)
    size = stored(fields(Q4_1), raw)
    assert size is not None
    whole = stored(BYTES, raw)
    assert whole is not None
    assert size < 0.9 * len(raw) < 0.97 * whole
    assert stored(fields(Q4_1), raw + b"an odd end") == size + 10


def test_integers_shrink_by_bytes_wherever_they_begin() -> None:
    ids = np.random.default_rng(1).integers(0, 30_000, 50_000, dtype=np.int64).tobytes()
    for start in 0, 3:
        size = stored(fields(words(8)), ids[start:])
        assert size is not None
        assert size < len(ids) / 4


def test_noise_and_less_than_a_block_are_declined() -> None:
    assert stored(fields(Q4_1), noise(1, 20 * 5000)) is None
    assert stored(fields(Q4_1), bytes(19)) is None


GOOD = Layout.of((1, 0), (1, 1)).encode() + bytes([2, 1, 0, 0, 0, 2, 1, 0, 0, 0]) + b"ab"
BAD_FIELDS = {
    "nothing": b"",
    "no runs": b"\0" + GOOD[1:],
    "runs cut short": b"\xff" + GOOD[1:],
    "a run of nothing": GOOD[:1] + bytes(2) + GOOD[3:],
    "a plane left out": GOOD[:6] + b"\2" + GOOD[7:],
    "a block longer than the chunk": GOOD[:2] + b"\1" + GOOD[3:],
    "one byte less": GOOD[:-1],
    "one byte more": GOOD + b"x",
    "no such method": GOOD[:7] + b"\x63" + GOOD[8:],
}


@pytest.mark.parametrize("encoded", BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_fields_that_contradict_themselves_are_damaged(encoded: bytes) -> None:
    codec = fields(Q4_1)
    assert decoded(codec, GOOD, 10) == b"ab" * 5
    with pytest.raises(ChunkDamagedError, match=r"a chunk of 10 bytes|a plane of"):
        decoded(codec, encoded, 10)


# Palette


@pytest.mark.parametrize("size", PALETTES)
@pytest.mark.parametrize("values", [1, 2, 3, 4, 5, 16, 17, 256])
def test_few_values_take_few_bits(size: int, values: int) -> None:
    raw = few(size, values, 20_000)
    length = stored(PALETTES[size], raw)
    assert length is not None
    assert length < 2 + size * values + 20_000 * index_bits(values) / 8 + 100
    for odd in range(1, size):
        assert stored(PALETTES[size], raw + b"x" * odd) == length + odd


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9])
def test_short_palettes_come_back(count: int) -> None:
    for values in 1, 2, 4, 16, 200:
        assert stored(PALETTES[2], few(2, values, count)) is not None


@pytest.mark.parametrize("size", [2, 4, 8])
def test_one_value_too_many_is_declined(size: int) -> None:
    values = np.arange(257).astype(f"<u{size}")
    assert stored(PALETTES[size], values[:256].tobytes() * 30) is not None
    assert stored(PALETTES[size], values.tobytes() * 30) is None
    hidden = np.concatenate((np.zeros(200_000, values.dtype), values))
    assert distinct(hidden[:100_001]) is not None
    assert stored(PALETTES[size], hidden.tobytes()) is None
    assert stored(PALETTES[size], hidden[:-1].tobytes()) is not None


def test_less_than_a_word_is_declined() -> None:
    assert stored(PALETTES[4], b"abc") is None
    assert stored(PALETTES[4], b"") is None


WORDS = PALETTES[2].encode(memoryview(b"aabbcc" * 3)) or b""
BAD_PALETTES = {
    "nothing": b"",
    "head only": WORDS[:2],
    "words of three bytes": b"\3" + WORDS[1:],
    "words of no bytes": b"\0" + WORDS[1:],
    "values cut short": WORDS[:1] + b"\xff" + WORDS[2:],
    "an index too many": WORDS[:-1] + b"\xff",
    "one byte less": WORDS[:-1],
    "one byte more": WORDS + b"x",
}


@pytest.mark.parametrize("encoded", BAD_PALETTES.values(), ids=BAD_PALETTES.keys())
def test_palettes_that_contradict_themselves_are_damaged(encoded: bytes) -> None:
    assert decoded(PALETTES[1], bytes(WORDS), 18) == b"aabbcc" * 3
    with pytest.raises(ChunkDamagedError, match=r"a chunk of (18|3) bytes|a plane of"):
        decoded(PALETTES[1], bytes(encoded), 18)


# Repeat


@pytest.mark.parametrize("period", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [9, 64, 65, 1000, MAX_CHUNK - 3, MAX_CHUNK])
def test_what_repeats_takes_one_period(period: int, size: int) -> None:
    raw = (noise(7, period) * MAX_CHUNK)[:size]
    assert stored(REPEAT, raw) == period


def test_what_nearly_repeats_is_declined() -> None:
    for at in 0, 8, 63, 64, 5000, 99_999:
        raw = bytearray(100_000)
        raw[at] = 1
        assert stored(REPEAT, bytes(raw)) is None
    assert stored(REPEAT, bytes(8)) is None
    assert stored(REPEAT, b"abc" * 1000) is None


@pytest.mark.parametrize("length", [0, 3, 5, 6, 7, 9, 16])
def test_other_periods_are_damaged(length: int) -> None:
    with pytest.raises(ChunkDamagedError, match=f"{length} bytes are said to repeat"):
        decoded(REPEAT, bytes(length), 24)


def test_a_period_may_be_longer_than_the_chunk() -> None:
    assert decoded(REPEAT, b"abcdefgh", 3) == b"abc"


# Bytes


def test_uneven_bytes_shrink() -> None:
    raw = eights(30_000)
    size = stored(BYTES, raw)
    assert size is not None
    assert size < 0.8 * len(raw)
    assert stored(BYTES, noise(2, 30_000)) is None


@pytest.mark.parametrize("encoded", [b"", bytes(5), b"\2\1\0\0\0", b"\0\3\0\0\0abcd", b"\5" * 9])
def test_bytes_that_are_no_plane_of_the_chunk_are_damaged(encoded: bytes) -> None:
    with pytest.raises(ChunkDamagedError):
        decoded(BYTES, encoded, 3)


def test_layouts_compare_by_their_runs() -> None:
    assert words(2) == Layout((Run(1, 0), Run(1, 1))) != words(4)
