"""Chunk ids that wait to be marked: taken as files name them, given back as the index has them.

Chunks lie in the index by id, so those of one file lie everywhere in it. Many are looked up
together, in the order of their ids: the more, the more of them lie on each page that is read.

Memory: 48 bytes for each of MOST ids, at most.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

MOST: Final = 1 << 20
"""Ids that wait, at most."""
TOGETHER: Final = 16_384
"""Ids that are given back at once."""
_ENTRY: Final = np.dtype([("id", "V32"), ("raw", "<u4")])
"""An entry of a manifest: `formats.manifest.ENTRY`."""
_QUARTERS: Final = 4
"""64-bit words in an id."""


class Wanted:
    """Takes ids in any order, some several times."""

    def __init__(self) -> None:
        self._ids: np.ndarray[Any, Any] = np.empty(0, "V32")
        self._count = 0

    def take(self, entries: bytes) -> int:
        """Take the ids of a manifest's entries, as many of the first as there is room for; bytes of
        `entries` that were taken."""
        if not len(self._ids):
            # Pages of memory that are not written to take none.
            self._ids = np.empty(MOST, "V32")
        count = min(len(entries) // _ENTRY.itemsize, MOST - self._count)
        end = self._count + count
        self._ids[self._count : end] = np.frombuffer(entries, _ENTRY, count)["id"]
        self._count = end
        return count * _ENTRY.itemsize

    def drain(self) -> Iterator[list[bytes]]:
        """All ids by their first bytes, no list having one of them twice; none waits any more."""
        ids = self._ids[: self._count]
        order = np.argsort(ids.view(">u8")[::_QUARTERS].astype(np.uint64))
        for at in range(0, len(ids), TOGETHER):
            yield list(dict.fromkeys(ids[order[at : at + TOGETHER]].tolist()))
        self._count = 0

    def clear(self) -> None:
        """Forget all ids, and what they took."""
        self._ids = self._ids[:0].copy()
        self._count = 0
