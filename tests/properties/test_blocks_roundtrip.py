"""Any bytes, any layout, any words come back or are declined; damage is found or harmless."""

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.codecs.codec import Codec
from modelfloat.cas.codecs.fields import Layout, fields, read_layout
from modelfloat.cas.codecs.palette import PALETTES
from modelfloat.cas.codecs.repeat import REPEAT
from modelfloat.cas.codecs.single import BYTES
from modelfloat.errors import ChunkDamagedError
from modelfloat.tests.support.blocks import eights, few
from modelfloat.tests.support.codecchecks import (
    EDITS,
    check_round_trip,
    decode_within,
    edited,
    runs,
)

RUNS = runs(
    9000,
    st.builds(eights, st.integers(1, 9000)),
    st.builds(few, st.sampled_from([1, 2, 4, 8]), st.integers(1, 256), st.integers(1, 3000)),
)
CHUNKS = st.lists(RUNS, min_size=1, max_size=3).map(b"".join)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Runs of any widths, of planes that are all there."""
    planes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=255))
    known = {plane: number for number, plane in enumerate(sorted(set(planes)))}
    widths = draw(st.lists(st.integers(1, 40), min_size=len(planes), max_size=len(planes)))
    return Layout.of(*zip(widths, (known[plane] for plane in planes), strict=True))


CODECS = st.one_of(
    st.sampled_from([BYTES, REPEAT, *PALETTES.values()]), st.builds(fields, layouts())
)


@given(layout=layouts(), rest=st.binary(max_size=9))
def test_a_layout_comes_back(layout: Layout, rest: bytes) -> None:
    assert read_layout(memoryview(layout.encode() + rest), 1) == (layout, rest)


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS)
def test_any_bytes_come_back_or_are_declined(raw: bytes, codec: Codec) -> None:
    check_round_trip(codec, raw)


@settings(deadline=None)
@given(raw=CHUNKS, codec=CODECS, edits=EDITS, near=st.booleans())
def test_changed_bytes_stay_within_the_buffer(
    raw: bytes, codec: Codec, edits: list[tuple[int, int]], near: bool
) -> None:
    encoded = bytes(codec.encode(memoryview(raw)) or b"\1\1\0\0\0\0\0\0\0\0")
    with contextlib.suppress(ChunkDamagedError):
        decode_within(codec, edited(encoded, edits, near=near), len(raw))
