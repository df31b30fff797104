"""Any bytes as floats of any size come back or are declined; damage is found or harmless."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.floats import BF16, BF16_SMALL, FP16, FP32, FP64
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.sources import noise
from modelfloat.tests.support.weights import normal

CODECS = st.sampled_from([BF16, BF16_SMALL, FP16, FP32, FP64])
RUNS = st.one_of(
    st.binary(min_size=1, max_size=50),
    st.builds(bytes.__mul__, st.binary(min_size=1, max_size=9), st.integers(1, 20_000)),
    st.builds(noise, st.integers(0, 99), st.integers(1, 70_000)),
    st.builds(
        normal,
        st.sampled_from(["bf16", "fp16", "fp32", "fp64"]),
        st.integers(1, 300_000),
        st.integers(0, 9),
    ),
)
CHUNKS = st.lists(RUNS, min_size=1, max_size=3).map(b"".join).map(lambda raw: raw[: 1 << 20])
EDITS = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6)


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS)
def test_any_bytes_come_back_or_are_declined(raw: bytes, codec: Codec) -> None:
    encoded = codec.encode(memoryview(raw))
    if encoded is not None:
        out = bytearray(len(raw))
        codec.decode(encoded, memoryview(out))
        assert out == raw


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS, edits=EDITS, near=st.booleans())
def test_changed_bytes_stay_within_the_buffer(
    raw: bytes, codec: Codec, edits: list[tuple[int, int]], near: bool
) -> None:
    encoded = bytearray(codec.encode(memoryview(raw)) or b"\1\0\0\0\0")
    for at, value in edits:
        encoded[at % min(len(encoded), 60 if near else len(encoded))] = value
    around = memoryview(bytearray(b"\xa5" * (len(raw) + 16)))
    with contextlib.suppress(ChunkDamagedError):
        codec.decode(encoded, around[8:-8])
    assert bytes(around[:8]) == bytes(around[-8:]) == b"\xa5" * 8
