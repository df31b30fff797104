"""Codecs 2 to 5: the saving each kind of float allows, and nothing worse on any other bytes."""

import struct
import threading
import tracemalloc

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import MAX_CHUNK
from modelfloat.cas.codecs import floats
from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.floats import BF16, BF16_SMALL, FP16, FP32, FP64
from modelfloat.cas.codecs.planes import Method
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.weights import normal

CODECS = {"bf16": BF16, "small": BF16_SMALL, "fp16": FP16, "fp32": FP32, "fp64": FP64}
SIZES = {"bf16": 2, "small": 2, "fp16": 2, "fp32": 4, "fp64": 8}


def round_trip(codec: Codec, raw: bytes) -> bytes:
    """Encode, decode, compare; the encoded bytes."""
    encoded = codec.encode(memoryview(raw))
    assert encoded is not None
    out = memoryview(bytearray(b"\xa5" * (len(raw) + 128)))
    codec.decode(encoded, out[64:-64])
    assert out[64:-64] == raw
    assert bytes(out[:64]) == bytes(out[-64:]) == b"\xa5" * 64
    return bytes(encoded)


def methods(encoded: bytes, size: int) -> list[int]:
    return [encoded[5 * plane] for plane in range(size)]


@pytest.mark.parametrize(
    ("name", "ratio"),
    [("bf16", 0.664), ("small", 0.660), ("fp16", 0.846), ("fp32", 0.8299), ("fp64", 0.893)],
)
def test_normal_weights_shrink_as_far_as_their_exponents_do(name: str, ratio: float) -> None:
    raw = normal("bf16" if name == "small" else name, MAX_CHUNK)
    assert len(round_trip(CODECS[name], raw)) <= ratio * len(raw)


def test_f32_that_holds_bf16_takes_no_more_than_half_of_that() -> None:
    raw = (np.frombuffer(normal("fp32", MAX_CHUNK), "<u4") & 0xFFFF0000).tobytes()
    encoded = round_trip(FP32, raw)
    assert len(encoded) <= 0.332 * len(raw)
    assert methods(encoded, 4) == [Method.HUFFMAN, Method.HUFFMAN, Method.CONSTANT, Method.BITS]


def test_f32_that_holds_fp16_takes_no_more_than_half_of_that() -> None:
    raw = np.frombuffer(normal("fp16", MAX_CHUNK // 2), "<f2").astype("<f4").tobytes()
    assert len(round_trip(FP32, raw)) <= 0.425 * len(raw)


def test_f16_of_few_mantissa_bits() -> None:
    words = np.frombuffer(normal("fp16", MAX_CHUNK), "<u2") & 0xFFF0
    assert len(round_trip(FP16, words.tobytes())) <= 0.60 * MAX_CHUNK


def test_weights_half_of_which_are_zero() -> None:
    words = np.frombuffer(normal("bf16", MAX_CHUNK), "<u2").copy()
    words[np.frombuffer(noise(1, len(words)), np.uint8) < 128] = 0
    assert len(round_trip(BF16, words.tobytes())) <= 0.47 * MAX_CHUNK


@pytest.mark.parametrize("name", CODECS)
def test_numbers_of_every_kind(name: str) -> None:
    """Signs, infinities, NaNs, subnormals: words are words."""
    raw = normal("bf16" if name == "small" else name, 100_000)
    strange = (bytes(50) + b"\xff" * 50 + b"\x00\x80\xff\x7f" * 20) * 9
    round_trip(CODECS[name], raw + strange + raw)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("odd", range(1, 9))
def test_odd_ends_are_kept(name: str, odd: int) -> None:
    raw = normal("bf16" if name == "small" else name, 40_000) + noise(2, odd)
    round_trip(CODECS[name], raw)


@pytest.mark.parametrize("name", CODECS)
def test_what_does_not_shrink_is_declined(name: str) -> None:
    for size in 0, 1, 2, 3, 7, 100, 5000, MAX_CHUNK:
        assert CODECS[name].encode(memoryview(noise(3, size))) is None or size < 9


@pytest.mark.parametrize("name", CODECS)
def test_less_than_a_word_is_no_chunk_of_floats(name: str) -> None:
    for size in range(SIZES[name]):
        with pytest.raises(ChunkDamagedError, match="does not decode"):
            CODECS[name].decode(b"\0" * 40, memoryview(bytearray(size)))


def squeezed() -> tuple[bytes, bytes]:
    """A chunk with escapes and its encoding."""
    words = np.frombuffer(normal("fp32", 1 << 19), "<u4").copy()
    words[::3001] = 5
    raw = words.tobytes()
    encoded = round_trip(FP32, raw)
    assert methods(encoded, 4)[:2] == [Method.SQUEEZED, Method.NIBBLES]
    return raw, encoded


def test_exponents_outside_the_window_are_listed() -> None:
    raw, encoded = squeezed()
    count = struct.unpack_from("<I", encoded, 21)[0]
    exponents = np.frombuffer(raw, "<u4") << 1 >> 24
    positions = np.frombuffer(encoded, "<u4", count, 25)
    assert set(range(0, len(exponents), 3001)) <= set(positions.tolist())
    values = np.frombuffer(encoded, np.uint8, count, 25 + 4 * count)
    assert (exponents[positions] == values).all()


def test_many_exponents_outside_the_window_are_not_squeezed() -> None:
    words = np.frombuffer(normal("fp32", MAX_CHUNK), "<u4").copy()
    words[::400] = 5
    assert methods(round_trip(FP32, words.tobytes()), 4)[0] == Method.HUFFMAN


@pytest.mark.parametrize("name", ["fp32", "small"])
@pytest.mark.parametrize("row", [64, 768, 4096])
def test_exponents_in_runs_are_not_squeezed(name: str, row: int) -> None:
    """Rows with a scale each, a power of two, and here and there an exponent unlike all others."""
    rng = np.random.default_rng(row)
    scales = np.exp2(rng.normal(0, 2, (MAX_CHUNK // 4 // row, 1)).round())
    words = (rng.uniform(1, 2, (len(scales), row)) * scales).ravel().astype("<f4").view("<u4")
    words[::3001] = 5
    raw = (words if name == "fp32" else (words >> 16).astype("<u2")).tobytes()
    encoded = round_trip(CODECS[name], raw)
    assert len(encoded) <= len(floats.encode(memoryview(raw), SIZES[name]) or raw)


def patched(encoded: bytes, at: int, form: str, value: int) -> bytes:
    changed = bytearray(encoded)
    struct.pack_into(form, changed, at, value)
    return bytes(changed)


LIES = {
    "base 255": (20, "<B", 255),
    "no escapes": (21, "<I", 0),
    "one more": (21, "<I", 999),
    "2^32 - 1 escapes": (21, "<I", (1 << 32) - 1),
    "an escape behind the end": (25, "<I", 1 << 17),
    "an escape far behind it": (25, "<I", (1 << 32) - 1),
    "a pair without its second": (5, "<B", Method.RAW),
    "a second without its first": (0, "<B", Method.HUFFMAN),
    "two firsts": (5, "<B", Method.SQUEEZED),
    "a pair that starts late": (10, "<B", Method.SQUEEZED),
    "a first that comes last": (15, "<B", Method.SQUEEZED),
    "other nibbles": (6, "<I", (1 << 17) // 2 - 1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_squeezed_chunk_that_lies_is_damaged(lie: str) -> None:
    raw, encoded = squeezed()
    around = memoryview(bytearray(b"\xa5" * (len(raw) + 128)))
    with pytest.raises(ChunkDamagedError, match="does not decode"):
        FP32.decode(patched(encoded, *LIES[lie]), around[64:-64])
    assert bytes(around[:64]) == bytes(around[-64:]) == b"\xa5" * 64


@pytest.mark.parametrize("lie", LIES)
def test_lies_take_no_memory(lie: str) -> None:
    raw, encoded = squeezed()
    out, wrong = memoryview(bytearray(len(raw))), patched(encoded, *LIES[lie])
    tracemalloc.start()
    try:
        with pytest.raises(ChunkDamagedError):
            FP32.decode(wrong, out)
        assert tracemalloc.get_traced_memory()[1] < MAX_CHUNK
    finally:
        tracemalloc.stop()


def test_an_odd_number_of_squeezed_words_is_damaged() -> None:
    _, encoded = squeezed()
    with pytest.raises(ChunkDamagedError):
        FP32.decode(encoded, memoryview(bytearray((1 << 19) - 4)))


@pytest.mark.parametrize("name", CODECS)
def test_every_cut_and_extended_chunk_is_damaged(name: str) -> None:
    raw = normal("bf16" if name == "small" else name, 100_001)
    encoded = round_trip(CODECS[name], raw)
    for wrong in [encoded[:end] for end in range(0, len(encoded), 97)] + [encoded + b"x"]:
        with pytest.raises(ChunkDamagedError, match="does not decode"):
            CODECS[name].decode(wrong, memoryview(bytearray(len(raw))))


def test_threads_do_not_share_planes() -> None:
    raws = {name: normal(name, MAX_CHUNK - 8, seed) for seed, name in enumerate(floats_of_all())}
    wrong: list[str] = []
    start = threading.Barrier(len(raws))

    def work(name: str, raw: bytes) -> None:
        start.wait()
        out = memoryview(bytearray(len(raw)))
        for _ in range(10):
            encoded = CODECS[name].encode(memoryview(raw))
            assert encoded is not None
            CODECS[name].decode(encoded, out)
            if out != raw:
                wrong.append(name)

    threads = [threading.Thread(target=work, args=item) for item in raws.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def floats_of_all() -> list[str]:
    return [name for name in CODECS if name != "small"]


def test_what_one_chunk_was_like_says_nothing_of_the_next() -> None:
    first = round_trip(BF16, normal("bf16", MAX_CHUNK))
    assert floats.BF16.encode(memoryview(noise(9, MAX_CHUNK))) is None
    assert round_trip(BF16, normal("bf16", MAX_CHUNK)) == first
