"""Where each byte of a file comes from: a manifest's chunks by file offset."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...errors import ChunkDamagedError
from ...ids import ChunkId, ObjectId
from ..formats.chunktable import MAX_CHUNK
from ..formats.manifest import ENTRY, Manifest

_ENTRY: Final = np.dtype([("id", "V32"), ("raw", "<u4")])


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Chunk `id` holds the file's bytes [offset, offset + raw)."""

    id: ChunkId
    offset: int
    raw: int


class Recipe:
    """The chunks of one file. `load_page` gives a manifest page's packed entries by its id.

    The page last used stays unpacked, so a sequential reader unpacks each page once; a page of
    14,000 chunks takes some 50 µs. Used by one thread at a time.
    """

    def __init__(self, manifest: Manifest, load_page: Callable[[ObjectId], bytes]) -> None:
        self.manifest = manifest
        self._load_page = load_page
        self._page_starts = [page.offset for page in manifest.pages]
        self._page: int | None = None
        self._packed = b""
        self._bounds = np.zeros(1, np.int64)

    def spans(self, offset: int, size: int) -> list[ChunkSpan]:
        """The chunks that hold the file's bytes [offset, offset+size), in order."""
        end = min(offset + size, self.manifest.size)
        found: list[ChunkSpan] = []
        while offset < end:
            self._turn_to(offset)
            first = int(np.searchsorted(self._bounds, offset, side="right")) - 1
            stop = int(np.searchsorted(self._bounds, end, side="left"))
            stop = min(stop, len(self._bounds) - 1)
            found += [self._span(index) for index in range(first, stop)]
            offset = int(self._bounds[stop])
        return found

    def all(self) -> Iterator[ChunkSpan]:
        """Every chunk of the file, in order."""
        offset = 0
        while offset < self.manifest.size:
            self._turn_to(offset)
            spans = [self._span(index) for index in range(len(self._bounds) - 1)]
            offset = int(self._bounds[-1])
            yield from spans

    def numbers(self, offset: int, size: int) -> range:
        """The numbers, from 0, of the chunks that `spans` of the same gives; without building them.

        `offset` lies in the file, and `size` is at least 1.
        """
        last = min(offset + size, self.manifest.size) - 1
        return range(self._number(offset), self._number(last) + 1)

    def _number(self, offset: int) -> int:
        self._turn_to(offset)
        index = int(np.searchsorted(self._bounds, offset, side="right")) - 1
        return index + sum(page.count for page in self.manifest.pages[: self._page])

    def _span(self, index: int) -> ChunkSpan:
        at = index * ENTRY.size
        start = int(self._bounds[index])
        return ChunkSpan(
            ChunkId(self._packed[at : at + 32]), start, int(self._bounds[index + 1]) - start
        )

    def _turn_to(self, offset: int) -> None:
        page = bisect_right(self._page_starts, offset) - 1 if self._page_starts else 0
        if page == self._page:
            return
        packed, start, end = self._entries(page)
        if not start <= offset < end:
            raise ChunkDamagedError("a manifest's pages are out of order; add the file again")
        raw = np.frombuffer(packed, _ENTRY)["raw"].astype(np.int64)
        bounds = np.concatenate(([0], np.cumsum(raw))) + start
        if bounds[-1] != end or raw.min(initial=1) < 1 or raw.max(initial=1) > MAX_CHUNK:
            raise ChunkDamagedError("a manifest's chunks do not add up; add the file again")
        self._packed, self._bounds, self._page = packed, bounds, page

    def _entries(self, page: int) -> tuple[bytes, int, int]:
        """A page's packed entries, and where in the file it begins and must end."""
        pages = self.manifest.pages
        if not pages:
            return self.manifest.inline, 0, self.manifest.size
        end = pages[page + 1].offset if page + 1 < len(pages) else self.manifest.size
        return self._load_page(pages[page].id), pages[page].offset, end
