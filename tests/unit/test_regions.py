"""Regions and element types."""

import math

import pytest

from modelfloat.cas.chunking.regions import (
    GGML,
    MAX_CHUNK,
    ElementType,
    Region,
    covers,
    product,
)


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
        (ElementType.C128, 16),
        (ElementType.I4, 1),
        (ElementType.Q4_0, 18),
        (ElementType.Q6_K, 210),
        (ElementType.MXFP4, 17),
    ],
)
def test_a_region_is_cut_in_whole_elements_or_blocks(element: ElementType, size: int) -> None:
    assert element.size == size


def test_an_element_number_is_one_byte() -> None:
    assert all(0 <= element <= 255 for element in ElementType)


def test_blocks_are_as_small_as_they_can_be_unless_their_elements_share_scales() -> None:
    for element in ElementType:
        size, elements = element.block
        assert size >= 1
        assert elements >= 1
        assert element.quantised == (element >= GGML) == (elements >= 32)
        assert element.quantised or math.gcd(size, elements) == 1


@pytest.mark.parametrize(
    ("numbers", "limit", "result"),
    [((), 9, 1), ((3, 5), 15, 15), ((0, 10**600, 10**600), 9, 0), ((2, 3, 0), 0, 0)],
)
def test_products(numbers: tuple[int, ...], limit: int, result: int) -> None:
    assert product(numbers, limit) == result


def test_a_product_beyond_the_limit_is_not_worked_out() -> None:
    assert product((2, 3, 5), 4) == 6
    assert 15 < product([10**600] * 1000, 15) <= 10**600


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
