"""Where each byte of a file comes from: a manifest's chunks by file offset."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Protocol, TypeVar

from ...errors import ChunkDamagedError
from ...ids import ChunkId, ObjectId
from ..formats.chunktable import MAX_CHUNK
from ..formats.manifest import ENTRY, Manifest

_ENTRY: Final = [("id", "V32"), ("raw", "<u4")]
_FEW: Final = 64
"""Entries that are added up one by one, which is done before NumPy is imported, or even called."""


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Chunk `id`, the file's `number`-th from 0, holds the file's bytes [offset, offset + raw)."""

    id: ChunkId
    offset: int
    raw: int
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class _Page:
    """A page of a manifest, unpacked: the offsets at which its chunks begin, and its end.

    `first` is the number of its first chunk. `bounds` are integers of eight bytes, in a view that
    gives plain ones: bisecting them takes a third of the time that NumPy takes to be called.
    """

    number: int | None
    first: int
    packed: bytes
    bounds: memoryview

    def spans(self, offset: int, end: int) -> list[ChunkSpan]:
        """Those of its chunks that hold some of the file's bytes [offset, end)."""
        first = bisect_right(self.bounds, offset) - 1
        stop = bisect_left(self.bounds, end)
        return [self.span(index) for index in range(first, min(stop, len(self.bounds) - 1))]

    def span(self, index: int) -> ChunkSpan:
        """One of its chunks."""
        at = index * ENTRY.size
        start = self.bounds[index]
        id_ = ChunkId(self.packed[at : at + 32])
        return ChunkSpan(id_, start, self.bounds[index + 1] - start, self.first + index)


class Recipe:
    """The chunks of one file. `load_page` gives a manifest page's packed entries by its id.

    The page last used stays unpacked, so a sequential reader unpacks each page once; a page of
    14,000 chunks takes some 50 µs. Used by one thread at a time; any other may call `at_hand`.
    """

    def __init__(self, manifest: Manifest, load_page: Callable[[ObjectId], bytes]) -> None:
        self.manifest = manifest
        self._load_page = load_page
        self._page_starts = [page.offset for page in manifest.pages]
        self._page = _Page(None, 0, b"", memoryview(array("q", [0])))
        # What was at hand last: most requests of a stream lie in the chunk of the one before.
        self._latest = ChunkSpan(ChunkId(b""), 0, 0, 0)

    def spans(self, offset: int, size: int) -> list[ChunkSpan]:
        """The chunks that hold the file's bytes [offset, offset+size), in order."""
        end = min(offset + size, self.manifest.size)
        found: list[ChunkSpan] = []
        while offset < end:
            page = self._turn_to(offset)
            found += page.spans(offset, end)
            offset = min(end, page.bounds[-1])
        return found

    def at_hand(self, offset: int, size: int) -> list[ChunkSpan] | None:
        """`spans` where they all stand on the page that is unpacked, else None."""
        end = offset + size
        latest = self._latest
        if latest.offset <= offset and end <= latest.offset + latest.raw:
            return [latest]
        page = self._page
        if offset < page.bounds[0] or end > page.bounds[-1]:
            return None
        spans = page.spans(offset, end)
        if spans:
            self._latest = spans[-1]
        return spans

    def all(self) -> Iterator[ChunkSpan]:
        """Every chunk of the file, in order."""
        offset = 0
        while offset < self.manifest.size:
            page = self._turn_to(offset)
            spans = [page.span(index) for index in range(len(page.bounds) - 1)]
            offset = page.bounds[-1]
            yield from spans

    def numbers(self, offset: int, size: int) -> range:
        """The numbers, from 0, of the chunks that `spans` of the same gives; without building them.

        `offset` lies in the file, and `size` is at least 1.
        """
        last = min(offset + size, self.manifest.size) - 1
        return range(self._number(offset), self._number(last) + 1)

    def _number(self, offset: int) -> int:
        page = self._turn_to(offset)
        return page.first + bisect_right(page.bounds, offset) - 1

    def _turn_to(self, offset: int) -> _Page:
        number = bisect_right(self._page_starts, offset) - 1 if self._page_starts else 0
        if number == self._page.number:
            return self._page
        packed, start, end = self._entries(number)
        if not start <= offset < end:
            raise ChunkDamagedError("a manifest's pages are out of order; add the file again")
        bounds, least, most = _bounds(packed, start)
        if bounds[-1] != end or least < 1 or most > MAX_CHUNK:
            raise ChunkDamagedError("a manifest's chunks do not add up; add the file again")
        first = sum(page.count for page in self.manifest.pages[:number])
        self._page = _Page(number, first, packed, bounds)
        return self._page

    def _entries(self, page: int) -> tuple[bytes, int, int]:
        """A page's packed entries, and where in the file it begins and must end."""
        pages = self.manifest.pages
        if not pages:
            return self.manifest.inline, 0, self.manifest.size
        end = pages[page + 1].offset if page + 1 < len(pages) else self.manifest.size
        return self._load_page(pages[page].id), pages[page].offset, end


def _bounds(packed: bytes, start: int) -> tuple[memoryview, int, int]:
    """Where the chunks of packed entries begin, and the last one ends, from `start` on; the length
    of the shortest and of the longest, 1 where there is none."""
    if len(packed) <= _FEW * ENTRY.size:
        lengths = [raw for _, raw in ENTRY.iter_unpack(packed)]
        bounds = memoryview(array("q", accumulate(lengths, initial=start)))
        return bounds, min(lengths, default=1), max(lengths, default=1)
    import numpy as np

    raw = np.frombuffer(packed, _ENTRY)["raw"].astype(np.int64)
    ends = np.concatenate(([0], np.cumsum(raw))) + start
    return ends.data, int(raw.min()), int(raw.max())


class Sized(Protocol):
    """A chunk of `raw` bytes."""

    @property
    def raw(self) -> int: ...


_SizedT = TypeVar("_SizedT", bound=Sized)


def extents(spans: Iterable[_SizedT], longest: int) -> Iterator[list[_SizedT]]:
    """Chunks in their order, as many at a time as have at most `longest` bytes; one at least."""
    extent: list[_SizedT] = []
    size = 0
    for span in spans:
        if extent and size + span.raw > longest:
            yield extent
            extent, size = [], 0
        extent.append(span)
        size += span.raw
    if extent:
        yield extent
