"""Any bytes as floats of any size come back or are declined; damage is found or harmless."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.floats import BF16, BF16_SMALL, FP16, FP32, FP64
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.codecchecks import (
    EDITS,
    check_round_trip,
    decode_within,
    edited,
    runs,
)
from modelfloat.tests.support.weights import normal

CODECS = st.sampled_from([BF16, BF16_SMALL, FP16, FP32, FP64])
FLOATS = st.builds(
    normal,
    st.sampled_from(["bf16", "fp16", "fp32", "fp64"]),
    st.integers(1, 300_000),
    st.integers(0, 9),
)
CHUNKS = st.lists(runs(20_000, FLOATS), min_size=1, max_size=3).map(
    lambda r: b"".join(r)[: 1 << 20]
)


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS)
def test_any_bytes_come_back_or_are_declined(raw: bytes, codec: Codec) -> None:
    check_round_trip(codec, raw)


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS, edits=EDITS, near=st.booleans())
def test_changed_bytes_stay_within_the_buffer(
    raw: bytes, codec: Codec, edits: list[tuple[int, int]], near: bool
) -> None:
    encoded = bytes(codec.encode(memoryview(raw)) or b"\1\0\0\0\0")
    with contextlib.suppress(ChunkDamagedError):
        decode_within(codec, edited(encoded, edits, near=near), len(raw))
