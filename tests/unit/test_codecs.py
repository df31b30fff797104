"""Codecs: what they keep, what they refuse, and that no frame can make them write elsewhere."""

import threading

import numpy as np
import pytest
import zstandard

from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType
from modelfloat.cas.codecs import registry
from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.codecs.raw import RAW
from modelfloat.cas.codecs.registry import CODECS, choose, decode
from modelfloat.cas.codecs.sample import SLICE_SIZE, SLICES, WHOLE_SIZE, is_promising, is_worth_it
from modelfloat.cas.codecs.zstd import ZSTD
from modelfloat.errors import ChunkDamagedError, FormatError
from modelfloat.tests.support.sources import noise

TEXT = b"".join(b"line %d of a text that shrinks\n" % i for i in range(6000))
UNKNOWN = ElementType.UNKNOWN


def _out(size: int) -> memoryview:
    return memoryview(bytearray(b"\xa5" * size))


def _round_trip(raw: bytes, element: ElementType = UNKNOWN) -> int:
    number, encoded = choose(memoryview(raw), element)
    out = _out(len(raw))
    decode(number, encoded, out)
    assert out == raw
    assert len(encoded) <= len(raw)
    return number


def test_numbers_and_names_never_change() -> None:
    assert {number: codec.name for number, codec in CODECS.items()} == {
        0: "raw",
        1: "zstd",
        2: "bf16",
        3: "fp16",
        4: "fp32",
        5: "fp64",
        6: "bytes",
        7: "fields",
        8: "palette",
        9: "repeat",
    }


@pytest.mark.parametrize("element", ElementType)
def test_every_element_type_has_codecs(element: ElementType) -> None:
    assert _round_trip(TEXT, element) == ZSTD.number
    assert _round_trip(noise(1, 1000), element) == RAW.number


def test_what_has_no_single_encoder_is_only_read() -> None:
    """A layout and a size of words are chosen by whoever encodes: there is none for all."""
    without = [codec.name for codec in CODECS.values() if not isinstance(codec, Codec)]
    assert without == ["fields", "palette"]


def test_random_bytes_stay_raw_and_are_not_copied() -> None:
    for size in 1, 100, WHOLE_SIZE, WHOLE_SIZE + 1, MAX_CHUNK:
        raw = memoryview(noise(2, size))
        number, encoded = choose(raw, UNKNOWN)
        assert number == RAW.number
        assert encoded is raw


@pytest.mark.parametrize("element", ElementType)
def test_the_fast_effort_stores_everything_as_it_is(element: ElementType) -> None:
    raw = memoryview(TEXT)
    number, encoded = choose(raw, element, Effort.FAST)
    assert number == RAW.number
    assert encoded is raw


def test_less_than_three_percent_is_not_worth_it() -> None:
    assert is_worth_it(100, 97)
    assert not is_worth_it(100, 98)
    assert not is_worth_it(1, 1)
    hardly = noise(4, 50_000) + bytes(1000)
    assert len(zstandard.compress(hardly, 1)) < len(hardly)
    assert _round_trip(hardly) == RAW.number


def test_a_sample_looks_at_both_ends_and_the_middle() -> None:
    seen: list[int] = []
    raw = memoryview(np.arange(MAX_CHUNK // 4, dtype=np.uint32).tobytes())

    def encode(part: memoryview) -> bytes:
        assert len(part) == SLICE_SIZE
        seen.append(int.from_bytes(part[:4], "little") * 4)
        return bytes(part)

    assert not is_promising(raw, encode)
    assert seen == [0, (MAX_CHUNK - SLICE_SIZE) // 2, MAX_CHUNK - SLICE_SIZE]


def test_a_sample_stops_once_it_has_saved_enough() -> None:
    calls = []

    def encode(part: memoryview) -> bytes:
        calls.append(part)
        return bytes(SLICE_SIZE - SLICE_SIZE * SLICES * 3 // 100 - 1)

    assert is_promising(memoryview(bytes(MAX_CHUNK)), encode)
    assert len(calls) == 1


def test_an_unknown_codec_was_made_by_a_newer_release() -> None:
    with pytest.raises(FormatError, match=r"codec 200, made by a newer release; upgrade"):
        decode(200, b"abc", _out(3))


@pytest.mark.parametrize("size", [0, 2, 4])
def test_a_raw_chunk_of_another_length_is_damaged(size: int) -> None:
    with pytest.raises(ChunkDamagedError, match="a raw chunk of 3 bytes"):
        decode(RAW.number, bytes(size), _out(3))


def _frame(raw: bytes = TEXT, level: int = 1, **settings: bool) -> bytes:
    return zstandard.ZstdCompressor(level=level, **settings).compress(raw)


def _lying(raw: bytes, claimed: int) -> bytes:
    """A frame of `raw` whose header claims another content size (RFC 8878, 3.1.1.1)."""
    frame = bytearray(_frame(raw))
    assert frame[4] >> 6 == 2  # the content size has 4 bytes
    field = 5 if frame[4] & 0x20 else 6  # a single segment has no window descriptor
    frame[field : field + 4] = claimed.to_bytes(4, "little")
    return bytes(frame)


DAMAGED = {
    "nothing": b"",
    "no frame": noise(5, 100),
    "magic only": _frame()[:4],
    "header only": _frame()[:9],
    "half": _frame()[: len(_frame()) // 2],
    "all but one byte": _frame()[:-1],
    "shorter content": _frame(TEXT[:-1]),
    "longer content": _frame(TEXT + b"x"),
    "bomb": _frame(bytes(1 << 24)),
    "bomb that claims less": _lying(bytes(1 << 24), len(TEXT)),
    "shorter content that claims more": _lying(TEXT[:-9], len(TEXT)),
    "longer content that claims less": _lying(TEXT + b"123456789", len(TEXT)),
    "content size unknown": _frame(write_content_size=False),
    "two frames": _frame(TEXT[:1000]) + _frame(TEXT[1000:]),
    "bytes behind it": _frame() + b"x",
    "skippable frame": b"\x50\x2a\x4d\x18" + len(TEXT).to_bytes(4, "little") + TEXT,
    "checksum wrong": _frame(write_checksum=True)[:-1] + b"\0",
}


@pytest.mark.parametrize("encoded", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_frame_is_named_so_and_stays_within_bounds(encoded: bytes) -> None:
    around = memoryview(bytearray(b"\xa5" * (len(TEXT) + 128)))
    with pytest.raises(ChunkDamagedError, match=f"a zstd frame of {len(TEXT)} bytes does not"):
        decode(ZSTD.number, encoded, around[64:-64])
    assert bytes(around[:64]) == bytes(around[-64:]) == b"\xa5" * 64


def test_a_damaged_frame_leaves_the_decompressor_usable() -> None:
    for encoded in DAMAGED.values():
        with pytest.raises(ChunkDamagedError):
            decode(ZSTD.number, encoded, _out(len(TEXT)))
        assert _round_trip(TEXT) == ZSTD.number


def test_a_frame_that_needs_a_dictionary_is_damaged() -> None:
    dictionary = zstandard.train_dictionary(
        2048, [b"sample %d %d %d" % (i, i * i, i % 7) for i in range(2000)]
    )
    encoded = zstandard.ZstdCompressor(dict_data=dictionary).compress(TEXT)
    with pytest.raises(ChunkDamagedError, match="Dictionary mismatch"):
        decode(ZSTD.number, encoded, _out(len(TEXT)))


@pytest.mark.parametrize("level", [-5, 3, 19, 22])
def test_frames_of_any_level_decode(level: int) -> None:
    raw = (TEXT * 8)[:MAX_CHUNK]
    out = _out(len(raw))
    decode(ZSTD.number, _frame(raw, level), out)
    assert out == raw


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes_may_be_in_any_buffer(kind: type[bytes]) -> None:
    out = _out(len(TEXT))
    decode(ZSTD.number, kind(_frame()), out)
    assert out == TEXT


def test_a_writable_or_partial_view_can_be_encoded() -> None:
    view = memoryview(bytearray(b"x" + TEXT + b"x"))[1:-1]
    number, encoded = choose(view, ElementType.BYTES)
    out = _out(len(TEXT))
    decode(number, encoded, out)
    assert out == TEXT


def test_our_frames_have_a_size_and_neither_checksum_nor_dictionary() -> None:
    encoded = ZSTD.encode(memoryview(TEXT))
    assert encoded is not None
    frame = zstandard.get_frame_parameters(encoded)
    assert (frame.content_size, frame.has_checksum, frame.dict_id) == (len(TEXT), False, 0)


def test_threads_do_not_share_contexts() -> None:
    raws = [(b"%d, " % i) * 70_000 for i in range(4)]
    wrong: list[int] = []
    start = threading.Barrier(len(raws))

    def work(raw: bytes) -> None:
        start.wait()
        for _ in range(20):
            number, encoded = choose(memoryview(raw), UNKNOWN)
            out = _out(len(raw))
            registry.decode(number, encoded, out)
            if number != ZSTD.number or out != raw:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(raw,)) for raw in raws]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
