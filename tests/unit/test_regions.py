"""Regions and element types."""

import pytest

from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region, covers


def _region(offset: int, size: int) -> Region:
    return Region(offset, size, ElementType.U8)


def test_a_chunk_is_at_most_one_mebibyte() -> None:
    assert MAX_CHUNK == 1 << 20


@pytest.mark.parametrize(
    ("element", "size"),
    [
        (ElementType.UNKNOWN, 1),
        (ElementType.BYTES, 1),
        (ElementType.F4, 1),
        (ElementType.F6_E2M3, 1),
        (ElementType.F8_E5M2, 1),
        (ElementType.BF16, 2),
        (ElementType.F32, 4),
        (ElementType.C64, 8),
    ],
)
def test_the_size_of_an_element_is_whole_bytes(element: ElementType, size: int) -> None:
    assert element.size == size


def test_an_element_number_is_one_byte() -> None:
    assert all(0 <= element <= 255 for element in ElementType)


@pytest.mark.parametrize(
    ("regions", "size", "whole"),
    [
        ([], 0, True),
        ([(0, 3), (3, 4)], 7, True),
        ([], 1, False),
        ([(0, 3)], 4, False),
        ([(0, 3)], 2, False),
        ([(1, 3)], 4, False),
        ([(0, 3), (4, 3)], 7, False),
        ([(0, 3), (2, 5)], 7, False),
        ([(3, 4), (0, 3)], 7, False),
        ([(0, 3), (3, 0), (3, 4)], 7, False),
        ([(0, 9), (9, -2)], 7, False),
    ],
)
def test_regions_cover_a_file_exactly_or_not(
    regions: list[tuple[int, int]], size: int, whole: bool
) -> None:
    assert covers([_region(*region) for region in regions], size) is whole
