"""However a file comes, in windows of any sizes: the same spans, and every byte in one of them."""

import itertools
import json
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking.cutter import CdcCutter, Cutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.jsonmembers import load_object, members
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region, covers
from modelfloat.cas.chunking.safetensors import SafetensorsParser
from modelfloat.tests.support.sources import BytesSource, cut_all, noise, with_header

WINDOWS = st.lists(st.integers(MAX_CHUNK, 4 * MAX_CHUNK), min_size=1, max_size=8)
RANDOM = noise(6, 6 << 20)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A few MiB of noise, zeros and short patterns, one after the other."""
    parts = []
    for size in draw(st.lists(st.integers(0, 2 << 20), max_size=4)):
        start = draw(st.integers(0, len(RANDOM) - 1))
        pattern = draw(st.sampled_from([RANDOM[start:] + RANDOM, b"\0", b"ab", b"a line\n"]))
        parts.append((pattern * (size // len(pattern) + 1))[:size])
    return b"".join(parts)


@st.composite
def region_lists(draw: st.DrawFn) -> list[Region]:
    sizes = st.one_of(st.integers(1, 200_000), st.integers(1, 3 * MAX_CHUNK))
    regions, position = [], 0
    for size in draw(st.lists(sizes, max_size=40).filter(lambda all_: sum(all_) < 16 << 20)):
        regions.append(Region(position, size, draw(st.sampled_from(ElementType))))
        position += size
    return regions


def _same(make: Callable[[], Cutter], data: bytes, windows: list[int], *, told: bool) -> None:
    whole = make().cut(memoryview(data), True)
    assert sum(span.size for span in whole) == len(data)
    assert cut_all(make(), data, itertools.cycle(windows), told=told) == whole


@settings(max_examples=40, deadline=None)
@given(data=files(), windows=WINDOWS, told=st.booleans())
def test_cuts_by_content_do_not_depend_on_windows(
    data: bytes, windows: list[int], told: bool
) -> None:
    _same(CdcCutter, data, windows, told=told)


@settings(max_examples=60, deadline=None)
@given(regions=region_lists(), windows=WINDOWS, told=st.booleans(), change=st.integers(-9, 9))
def test_cuts_along_regions_do_not_depend_on_windows(
    regions: list[Region], windows: list[int], told: bool, change: int
) -> None:
    planned = sum(region.size for region in regions)
    data = bytes(max(0, planned + change))
    _same(lambda: SpanCutter(regions), data, windows, told=told)


@given(data=st.binary(max_size=300), name=st.sampled_from(["a", "a.safetensors"]))
def test_any_bytes_are_cut_exactly(data: bytes, name: str) -> None:
    spans = open_cutter(name, BytesSource(data)).cut(memoryview(data), True)
    assert sum(span.size for span in spans) == len(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
INFOS = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.sampled_from(["U8", "F32", "F4", "?"]) | JSON,
        "shape": st.lists(st.integers(-1, 9), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 40), min_size=2, max_size=2) | JSON,
    },
)
HEADERS = st.dictionaries(st.text(max_size=4) | st.just("__metadata__"), INFOS | JSON, max_size=4)


@given(header=HEADERS, data=st.binary(max_size=40), flip=st.none() | st.integers(0, 1 << 16))
def test_no_header_makes_the_parser_fail_or_lose_bytes(
    header: dict[str, object], data: bytes, flip: int | None
) -> None:
    text = bytearray(json.dumps(header).encode())
    if flip is not None:
        text[flip % len(text)] ^= 1 << flip % 8
    file = with_header(bytes(text), data)
    regions = SafetensorsParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))


FLAT = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.dictionaries(
        st.text(max_size=6), st.text(max_size=6) | st.integers() | st.lists(st.integers())
    ),
)


@given(value=FLAT, indent=st.none() | st.integers(0, 3), ascii_only=st.booleans())
def test_members_reads_flat_objects_as_json_does(
    value: dict[str, dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:  # a lone surrogate can stand in JSON as an escape only
        encoded = json.dumps(value, indent=indent).encode()
    assert {name: load_object(part) for name, part in members(encoded, 4096)} == value
