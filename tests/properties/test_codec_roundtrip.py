"""Any bytes, any element type: what was encoded comes back; any damage is found or harmless."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.codecs.effort import Effort
from modelfloat.cas.codecs.registry import CODECS, choose, decode
from modelfloat.cas.codecs.repeat import PERIODS, REPEAT
from modelfloat.cas.codecs.sample import is_worth_it
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.sources import noise

PARTS = st.one_of(
    st.binary(min_size=1, max_size=200),
    st.builds(bytes.__mul__, st.binary(min_size=1, max_size=9), st.integers(1, 30_000)),
    st.builds(noise, st.integers(0, 99), st.integers(1, 100_000)),
)
CHUNKS = st.lists(PARTS, min_size=1, max_size=3).map(b"".join)
ELEMENTS = st.sampled_from(ElementType)


@settings(deadline=None)
@given(raw=CHUNKS, element=ELEMENTS, effort=st.sampled_from(Effort))
def test_any_chunk_comes_back_and_never_grows(
    raw: bytes, element: ElementType, effort: Effort
) -> None:
    number, encoded = choose(memoryview(raw), element, effort)
    assert number == 0 or is_worth_it(len(raw), len(encoded))
    out = bytearray(len(raw))
    decode(number, encoded, memoryview(out))
    assert out == raw


@settings(deadline=None)
@given(
    encoded=st.binary(max_size=60) | st.binary(max_size=60).map(b"\x28\xb5\x2f\xfd".__add__),
    number=st.sampled_from(sorted(CODECS)),
    size=st.integers(0, 1000),
)
def test_foreign_bytes_fill_the_buffer_or_are_damaged(
    encoded: bytes, number: int, size: int
) -> None:
    around = memoryview(bytearray(b"\xa5" * (size + 16)))
    with contextlib.suppress(ChunkDamagedError):
        decode(number, encoded, around[8 : 8 + size])
    assert bytes(around[:8]) == bytes(around[8 + size :]) == b"\xa5" * 8


@settings(deadline=None)
@given(raw=CHUNKS, cut=st.integers(1, 1 << 20))
def test_a_shortened_chunk_is_damaged(raw: bytes, cut: int) -> None:
    number, encoded = choose(memoryview(raw), ElementType.UNKNOWN)
    short = bytes(encoded)[: -1 - cut % len(encoded)]
    out = memoryview(bytearray(len(raw)))
    if number == REPEAT.number and len(short) in PERIODS:
        decode(number, short, out)  # Whether it is the right period, the chunk's BLAKE3 tells.
        return
    with pytest.raises(ChunkDamagedError):
        decode(number, short, out)
