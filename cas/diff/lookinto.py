"""Files that have no region table: their tensors as the parsers find them."""

from typing import Final

import trio
import trio.from_thread

from ..chunking.cutter import PARSERS, find_regions
from ..chunking.parser import Siblings
from ..formats.regiontable import TableRegion
from ..read.filereader import FileReader

PIECE: Final = 4 << 20
"""Bytes read at a time."""


class StoredSource:
    """A stored file's bytes for parsers, which run in a worker thread."""

    beside: Siblings | None = None

    def __init__(self, file: FileReader) -> None:
        self._file = file

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._file.size

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on."""
        pieces = range(offset, offset + size, PIECE)
        return b"".join(self._piece(at, min(PIECE, offset + size - at)) for at in pieces)

    def _piece(self, offset: int, size: int) -> bytes:
        return bytes(trio.from_thread.run(self._file.read, offset, size))


def look_into(path: bytes, file: FileReader) -> list[TableRegion]:
    """The regions that parsers find in a stored file; in a worker thread."""
    name = path.decode("utf-8", "backslashreplace")
    found = find_regions(name, StoredSource(file), PARSERS) or ()
    return [TableRegion(r.offset, r.size, int(r.element), r.name, r.shape) for r in found]
