"""Any regions: what was encoded comes back, part by part, and a number has one form only."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking.regions import ElementType, Region
from modelfloat.cas.formats import regiontable
from modelfloat.cas.formats.regiontable import decode_regions, encode_regions
from modelfloat.cas.formats.varint import MOST, VarintReader, encode_varint

NAMES = st.one_of(
    st.just(""),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.builds(
        "model.layers.{}.{}".format, st.integers(0, 99), st.sampled_from(["weight", "größe"])
    ),
)
SHAPES = st.lists(st.integers(0, MOST), max_size=5).map(tuple)
SIZES = st.one_of(st.integers(1, 200), st.integers(1, 1 << 40))
ROWS = st.lists(st.tuples(SIZES, st.sampled_from(ElementType), NAMES, SHAPES), max_size=40)


def laid(rows: list[tuple[int, ElementType, str, tuple[int, ...]]]) -> list[Region]:
    """The regions end to end."""
    regions, at = [], 0
    for size, element, name, shape in rows:
        regions.append(Region(at, size, element, name, shape))
        at += size
    return regions


@settings(deadline=None)
@given(rows=ROWS, page=st.integers(300, 2000))
def test_any_regions_come_back(
    rows: list[tuple[int, ElementType, str, tuple[int, ...]]], page: int
) -> None:
    regions = laid(rows)
    size = sum(region.size for region in regions)
    whole = regiontable.PAGE_SIZE
    try:
        regiontable.PAGE_SIZE = page
        parts = encode_regions(regions, size)
    finally:
        regiontable.PAGE_SIZE = whole
    found = []
    for part in parts:
        assert len(part.data) <= page
        inside = [Region(*each) for each in decode_regions(part.data, part.offset)]
        assert (len(inside), inside[0].offset) == (part.count, part.offset)
        found += inside
    assert found == regions


@given(number=st.integers(0, MOST), behind=st.binary(max_size=9))
def test_any_number_comes_back(number: int, behind: bytes) -> None:
    data = encode_varint(number)
    reader = VarintReader(data + behind)
    assert reader.varint() == number
    assert reader.at == len(data) <= 9


@given(data=st.binary(max_size=12))
def test_a_number_has_one_form(data: bytes) -> None:
    reader = VarintReader(data)
    try:
        number = reader.varint()
    except regiontable.ChunkDamagedError:
        return
    assert encode_varint(number) == data[: reader.at]
