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

    def small_at(self, offset: int, size: int) -> int | None:
        """The end of a small tensor that a read seems to be for; None if none.

        A fault makes the kernel read before the page as well, in one request or in two: so the page
        is the first of what is read, its middle, or its last.
        """
        for place in (offset, offset + size // 2, offset + size - 1):
            which = int(self._starts.searchsorted(place, side="right")) - 1
            if which in self._small:
                return int(self._starts[which + 1])
        return None

    def small_after(self, offset: int, count: int) -> list[Extent]:
        """The next small tensors from an offset on, in file order, `count` at most."""
        first = int(np.searchsorted(self._smalls, self._starts.searchsorted(offset, side="left")))
        found = self._smalls[first : first + count]
        return [Extent(int(self._starts[n]), int(self._starts[n + 1])) for n in found]

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
