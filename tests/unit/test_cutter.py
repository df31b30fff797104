"""Cutters: which one a file gets, and what they do with files that change."""

import hashlib
import logging
import sys
from itertools import repeat

import pyfastcdc
import pytest

from modelfloat.cas.chunking.cutter import (
    CdcCutter,
    SpanCutter,
    find_regions,
    open_cutter,
)
from modelfloat.cas.chunking.fastcdc import AVERAGE_SIZE, MIN_SIZE
from modelfloat.cas.chunking.parser import HEAD_SIZE, Source
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region
from modelfloat.cas.chunking.spans import Span
from modelfloat.tests.support.sources import BytesSource, cut_all, info, noise, safetensors_file

F32, UNKNOWN = ElementType.F32, ElementType.UNKNOWN


class FixedParser:
    """A parser that finds what it is told to."""

    name = "fixed"

    def __init__(self, regions: list[Region] | None, *, suits: bool = True) -> None:
        self._regions, self._suits = regions, suits
        self.head = b""

    def suits(self, file_name: str, head: bytes) -> bool:
        self.head = head
        return self._suits

    def parse(self, source: Source) -> list[Region] | None:
        return self._regions


def _two(size: int) -> list[Region]:
    return [Region(0, size - 10, F32), Region(size - 10, 10, F32)]


def test_the_first_parser_that_knows_the_file_is_used() -> None:
    source = BytesSource(bytes(100))
    parsers = FixedParser(_two(100), suits=False), FixedParser(None), FixedParser(_two(100))
    assert find_regions("x", source, parsers) == _two(100)
    assert parsers[2].head == bytes(HEAD_SIZE)


def test_a_parser_that_loses_bytes_is_not_believed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert find_regions("x", BytesSource(bytes(100)), [FixedParser(_two(99))]) is None
    assert [record.getMessage() for record in caplog.records] == [
        "x: the fixed parser lost track, cut as unknown bytes"
    ]
    caplog.clear()


@pytest.mark.parametrize("name", ["", "a.txt", "model.safetensors"])
def test_an_empty_file_has_no_spans(name: str) -> None:
    assert open_cutter(name, BytesSource(b"")).cut(memoryview(b""), True) == []


@pytest.mark.parametrize("size", [1, 100, MIN_SIZE, MAX_CHUNK])
def test_a_file_up_to_the_minimum_is_one_chunk(size: int) -> None:
    spans = open_cutter("a", BytesSource(bytes(size))).cut(memoryview(bytes(size)), True)
    assert spans == [Span(size, UNKNOWN)]


def test_a_safetensors_file_is_cut_along_its_tensors() -> None:
    large, small = 2 * MAX_CHUNK + 400, 400
    tensors = {
        "a": info("F32", [large // 4], 0, large),
        "b": info("F16", [small // 2], large, large + small),
        "c": info("F16", [small // 2], large + small, large + 2 * small),
    }
    file = safetensors_file(tensors, noise(2, large + 2 * small))
    header = len(file) - large - 2 * small
    spans = cut_all(open_cutter("m.safetensors", BytesSource(file)), file, repeat(0))
    assert spans == [
        Span(header, ElementType.BYTES),
        Span(MAX_CHUNK, F32),
        Span(MAX_CHUNK, F32),
        Span(400, F32),
        Span(2 * small, ElementType.F16),
    ]


def test_unknown_bytes_stay_within_the_bounds() -> None:
    data = noise(3, 8 << 20)
    sizes = [span.size for span in cut_all(CdcCutter(), data, repeat(0))]
    assert sum(sizes) == len(data)
    assert all(MIN_SIZE <= size <= MAX_CHUNK for size in sizes[:-1])


def test_an_insertion_moves_cuts_only_nearby() -> None:
    data = noise(4, 8 << 20)
    edited = data[:3_000_000] + b"inserted" + data[3_000_000:]

    def chunks(file: bytes) -> set[bytes]:
        position, found = 0, set()
        for span in cut_all(CdcCutter(), file, repeat(0)):
            found.add(hashlib.sha256(file[position : position + span.size]).digest())
            position += span.size
        return found

    before, after = chunks(data), chunks(edited)
    assert 1 <= len(before - after) <= 3


@pytest.mark.parametrize("left", [1, 5, MAX_CHUNK - 1])
def test_a_file_that_became_shorter_is_still_cut_exactly(left: int) -> None:
    cutter = SpanCutter([Region(0, 3 * MAX_CHUNK, F32)])
    window = memoryview(bytes(MAX_CHUNK + left))
    assert cutter.cut(window, False) == [Span(MAX_CHUNK, F32)]
    assert cutter.cut(window[MAX_CHUNK:], False) == []
    assert cutter.cut(window[MAX_CHUNK:], True) == [Span(left, F32)]


def test_a_file_that_became_longer_is_still_cut_exactly() -> None:
    cutter = SpanCutter([Region(0, 100, F32)])
    window = memoryview(bytes(100 + MAX_CHUNK + 7))
    assert cutter.cut(window, False) == [Span(100, F32), Span(MAX_CHUNK, UNKNOWN)]
    assert cutter.cut(window[-7:], False) == []
    assert cutter.cut(window[-7:], True) == [Span(7, UNKNOWN)]


def test_a_final_window_may_be_empty() -> None:
    for cutter in CdcCutter(), SpanCutter([Region(0, 100, F32)]):
        assert cutter.cut(memoryview(b""), True) == []


def test_the_pure_variant_finds_the_same_cuts() -> None:
    from pyfastcdc import py

    assert "pyfastcdc.cy" in sys.modules
    assert pyfastcdc.FastCDC is not py.FastCDC
    data = noise(5, 1 << 20)
    pure = py.FastCDC(
        AVERAGE_SIZE, min_size=MIN_SIZE, max_size=MAX_CHUNK, normalized_chunking=2, seed=0
    )
    sizes = [chunk.length for chunk in pure.cut_buf(data)]
    assert sizes == [span.size for span in CdcCutter().cut(memoryview(data), True)]
    assert len(sizes) > 1
