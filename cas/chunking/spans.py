"""From regions to spans: the sizes of the chunks that a file with known structure is cut into.

Every span begins at a fixed step from the start of its region, so a tensor gives the same chunks
in whatever file and at whatever offset it stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from .regions import MAX_CHUNK, ElementType, Region

SMALL_REGION: Final = 64 << 10
"""A region below this many bytes joins small regions beside it."""


@dataclass(frozen=True, slots=True)
class Span:
    """The next chunk of a file: its size in bytes, and what it consists of."""

    size: int
    element: ElementType


def spans(regions: Iterable[Region]) -> Iterator[Span]:
    """The spans of `regions`, lazily and in file order; each is 1 byte to `MAX_CHUNK` long.

    Neighbours below `SMALL_REGION` are joined from left to right while they fit in one chunk. A
    joined span has the element type that all its regions share, else BYTES.
    """
    joined: Span | None = None
    for region in regions:
        if region.size < SMALL_REGION:
            if joined and joined.size + region.size > MAX_CHUNK:
                yield joined
                joined = None
            joined = _join(joined, region)
            continue
        if joined:
            yield joined
            joined = None
        yield from _steps(region)
    if joined:
        yield joined


def _join(joined: Span | None, region: Region) -> Span:
    if joined is None:
        return Span(region.size, region.element)
    same = joined.element is region.element
    return Span(joined.size + region.size, region.element if same else ElementType.BYTES)


def _steps(region: Region) -> Iterator[Span]:
    """Whole elements in the longest steps that fit in a chunk; the last one may be shorter."""
    step = MAX_CHUNK - MAX_CHUNK % region.element.size
    full = Span(step, region.element)
    for _ in range(region.size // step):
        yield full
    if region.size % step:
        yield Span(region.size % step, region.element)
