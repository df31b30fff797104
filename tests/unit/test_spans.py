"""From regions to spans: fixed steps, and small regions joined."""

from itertools import islice

from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region
from modelfloat.cas.chunking.spans import SMALL_REGION, Span, spans

F32, F16, BYTES = ElementType.F32, ElementType.F16, ElementType.BYTES


def _cut(*parts: tuple[int, ElementType]) -> list[tuple[int, ElementType]]:
    regions, position = [], 0
    for size, element in parts:
        regions.append(Region(position, size, element))
        position += size
    result = list(spans(regions))
    assert sum(span.size for span in result) == position
    return [(span.size, span.element) for span in result]


def test_no_regions_give_no_spans() -> None:
    assert _cut() == []


def test_a_large_region_is_cut_in_steps_from_its_start() -> None:
    assert _cut((2 * MAX_CHUNK + 12, F32)) == [(MAX_CHUNK, F32), (MAX_CHUNK, F32), (12, F32)]
    assert _cut((MAX_CHUNK, F16)) == [(MAX_CHUNK, F16)]


def test_quantised_tensors_are_cut_between_blocks() -> None:
    q6, whole = ElementType.Q6_K, MAX_CHUNK // 210 * 210
    assert whole == MAX_CHUNK - 46
    assert _cut((2 * whole + 210, q6)) == [(whole, q6), (whole, q6), (210, q6)]
    assert _cut((MAX_CHUNK // 18 * 18, ElementType.Q4_0)) == [(1_048_572, ElementType.Q4_0)]


def test_steps_do_not_depend_on_what_stands_before() -> None:
    tensor = (3 * MAX_CHUNK + 4096, F32)
    assert _cut((100, BYTES), tensor)[1:] == _cut(tensor)


def test_small_regions_of_one_type_join() -> None:
    assert _cut((400, F32), (800, F32)) == [(1200, F32)]


def test_small_regions_of_several_types_join_as_bytes() -> None:
    assert _cut((400, F32), (800, F16), (400, F32)) == [(1600, BYTES)]


def test_small_means_less_than_the_bound() -> None:
    assert _cut((SMALL_REGION - 4, F32), (SMALL_REGION, F32), (4, F32), (8, F32)) == [
        (SMALL_REGION - 4, F32),
        (SMALL_REGION, F32),
        (12, F32),
    ]


def test_joined_regions_never_exceed_a_chunk() -> None:
    part = SMALL_REGION - 4
    fit = MAX_CHUNK // part
    assert _cut(*[(part, F32)] * (fit + 2)) == [(fit * part, F32), (2 * part, F32)]


def test_regions_that_fill_a_chunk_exactly_join() -> None:
    half = SMALL_REGION // 2
    assert _cut(*[(half, F32)] * 33) == [(MAX_CHUNK, F32), (half, F32)]


def test_spans_of_a_huge_region_are_made_one_by_one() -> None:
    huge = Region(0, 1 << 60, F32)
    assert list(islice(spans([huge]), 2)) == [Span(MAX_CHUNK, F32)] * 2
