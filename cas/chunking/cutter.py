"""Cuts a file, window by window, the way that suits it best."""

import logging
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Final, Protocol

from .fastcdc import FastCdc, zero_cuts
from .gguf import GgufParser
from .npy import NpyParser
from .onnx import OnnxParser
from .onnxdata import OnnxDataParser
from .parser import HEAD_SIZE, Parser, Source
from .regions import MAX_CHUNK, ElementType, Region, covers
from .safetensors import SafetensorsParser
from .spans import Span, spans
from .ziparchive import ZipParser

PARSERS: Final[tuple[Parser, ...]] = (
    SafetensorsParser(),
    GgufParser(),
    ZipParser(),
    NpyParser(),
    OnnxParser(),
    OnnxDataParser(),
)
"""Every format whose structure is known; the first that suits a file and parses it is used."""

_LOG: Final = logging.getLogger(__name__)


class Cutter(Protocol):
    """Cuts one file; used by one thread at a time, on windows in file order."""

    @property
    def regions(self) -> Sequence[Region]:
        """The regions that it cuts along, covering the file; none where it has no structure."""
        ...

    def cut(self, window: memoryview, final: bool) -> list[Span]:
        """The spans that are decided, in order.

        `window` holds the file's bytes from the end of all spans given so far on. What the spans
        do not cover is shown again at the start of the next window. `final` says that the file
        ends with the window: then the spans cover it exactly. Otherwise a window of `MAX_CHUNK`
        bytes or more gives at least one span. The result does not depend on how the file was
        divided into windows.
        """
        ...

    def cut_zeros(self, size: int, final: bool) -> list[Span]:
        """What `cut` gives for a window of `size` zeros, without looking at any."""
        ...


class SpanCutter:
    """Cuts along regions.

    A file that ends early cuts the last span short, and one that goes on is cut in steps of
    `MAX_CHUNK`: it changed under our hands, and whoever reads it will notice.
    """

    def __init__(self, regions: Sequence[Region]) -> None:
        self.regions = regions
        self._planned = chain(spans(regions), repeat(Span(MAX_CHUNK, ElementType.UNKNOWN)))
        self._next = next(self._planned)

    def cut(self, window: memoryview, final: bool) -> list[Span]:
        """See `Cutter`."""
        return self.cut_zeros(len(window), final)

    def cut_zeros(self, size: int, final: bool) -> list[Span]:
        """See `Cutter`. Any bytes are cut so: only their number counts."""
        decided: list[Span] = []
        left = size
        while left and (final or self._next.size <= left):
            span = self._next
            if span.size > left:
                span = Span(left, span.element)
            decided.append(span)
            left -= span.size
            self._next = next(self._planned)
        return decided


class CdcCutter:
    """Cuts bytes of unknown structure by their content."""

    regions: Sequence[Region] = ()

    def __init__(self) -> None:
        self._cdc = FastCdc()

    def cut(self, window: memoryview, final: bool) -> list[Span]:
        """See `Cutter`."""
        return [Span(size, ElementType.UNKNOWN) for size in self._cdc.cut(window, final)]

    def cut_zeros(self, size: int, final: bool) -> list[Span]:
        """See `Cutter`."""
        return [Span(part, ElementType.UNKNOWN) for part in zero_cuts(size, final)]


def open_cutter(file_name: str, source: Source) -> Cutter:
    """The cutter for a file: along its structure where a parser knows it, else by content.

    Errors of `source` pass; no content raises one.
    """
    regions = find_regions(file_name, source, PARSERS)
    return CdcCutter() if regions is None else SpanCutter(regions)


def find_regions(file_name: str, source: Source, parsers: Iterable[Parser]) -> list[Region] | None:
    """The regions that the first suitable parser finds, or None.

    They are checked to cover the file exactly, so that a mistake in a parser costs deduplication
    and never a byte.
    """
    head = source.read(0, min(source.size, HEAD_SIZE))
    for parser in parsers:
        if not parser.suits(file_name, head):
            continue
        regions = parser.parse(source)
        if regions is None:
            continue
        if covers(regions, source.size):
            return regions
        _LOG.warning("%s: the %s parser lost track, cut as unknown bytes", file_name, parser.name)
    return None
