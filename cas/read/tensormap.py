"""Where the tensors of an open file begin and end, to tell how far ahead of a read to load.

Memory: nine bytes a region, and for a small tensor some ninety more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..formats.regiontable import TableRegion

PAGE: Final = 4096
SMALL: Final = 64 << 10
"""A tensor of at most so many bytes is small: norms and biases, of which a layer has a few."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A region's bytes [start, end) of the file."""

    start: int
    end: int


class TensorMap:
    """The regions of one file, in file order; they cover it."""

    def __init__(self, regions: Iterable[TableRegion]) -> None:
        found = [(region.offset, bool(region.name)) for region in regions]
        self._starts = np.array([offset for offset, _ in found], np.int64)
        self._named = np.array([named for _, named in found], np.bool_)
        # The last region's end is not known here; and no file is read for its last tensor alone.
        self._smalls = np.flatnonzero(self._named[:-1] & (np.diff(self._starts) <= SMALL))
        self._small = frozenset(self._smalls.tolist())
        self._tensors = np.flatnonzero(self._named)

    @property
    def first(self) -> int | None:
        """Where the first tensor begins: before it is what says where they are; None without."""
        which = self._named.argmax() if len(self._named) else 0
        return int(self._starts[which]) if len(self._named) and self._named[which] else None

    def at(self, offset: int, size: int) -> Extent:
        """The region of a file of `size` bytes in which the byte at `offset` lies."""
        after = int(self._starts.searchsorted(offset, side="right"))
        end = int(self._starts[after]) if after < len(self._starts) else size
        return Extent(int(self._starts[after - 1]), end)

    def touched(self, offset: int, size: int) -> int | None:
        """The number of the tensor that a read seems to touch at its beginning, or anywhere if it
        is small; None if none.

        A fault makes the kernel read before the page as well, in one request or in two: so the page
        is the first of what is read, its middle, or its last.
        """
        for place in (offset, offset + size // 2, offset + size - 1):
            page = place - place % PAGE
            first, last = self._starts.searchsorted((page, page + PAGE - 1), side="right") - 1
            for which in range(int(first), int(last) + 1):
                begun = self._named[which] and self._starts[which] >= page
                if begun or which in self._small:
                    return which
        return None

    def is_small(self, which: int) -> bool:
        """Whether the tensor of that number is small."""
        return which in self._small

    def after(self, which: int, count: int, *, small: bool) -> list[int]:
        """The numbers of the next tensors, or of the next small ones; `count` at most."""
        numbers = self._smalls if small else self._tensors
        first = int(numbers.searchsorted(which, side="right"))
        found: list[int] = numbers[first : first + count].tolist()
        return found

    def head(self, which: int, reach: int) -> Extent:
        """What is read where the tensor of that number is touched: `reach` on both sides of its
        first page, which may be more than the file has; and all of it if it is small."""
        start = int(self._starts[which])
        page = start - start % PAGE
        end = page + max(reach, PAGE)
        if which in self._small:
            end = max(end, int(self._starts[which + 1]))
        return Extent(max(page - reach, 0), end)

    def begun_by(self, offset: int, size: int) -> int | None:
        """The byte at which a tensor begins that a read seems to be the first of; None if none.

        A read(2) begins in the tensor's first page. A fault in that page makes the kernel read as
        much before it as after it (mm/filemap.c, do_sync_mmap_readahead): then it is in the middle.
        """
        for page in (offset, offset + size // 2):
            low = page - page % PAGE
            which = int(self._starts.searchsorted(low, side="left"))
            begun = self._starts[which : which + 1]
            if len(begun) and begun[0] < low + PAGE and self._named[which]:
                return int(begun[0])
        return None
