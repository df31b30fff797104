"""Large files window by window; what lies in a hole of a sparse file is not read.

Where data begins after an offset is asked of the filesystem, and only where the file takes less
room than it is long. Synchronous; used in worker threads, by one at a time.
"""

import errno
import os
from dataclasses import dataclass

from ..chunking.regions import MAX_CHUNK
from ..zeros import RUN
from .scan import Item
from .sources import Named, read_window


@dataclass(frozen=True, slots=True)
class Piece:
    """What comes next in a file: `size` bytes in `buffer` behind MAX_CHUNK bytes of headroom, or,
    with `buffer` None, that many zeros. `final`: the file ends there."""

    buffer: memoryview | None
    size: int
    final: bool


class Pieces:
    """Reads one open file from its start to its end."""

    def __init__(self, item: Item, fd: int) -> None:
        self._item = item
        self._fd = fd
        with Named(item):
            status = os.fstat(fd)
        self._end = status.st_size
        self._sparse = status.st_blocks * 512 < status.st_size
        self._offset = 0
        # Where data begins at or after the offset; asked for again when that is behind.
        self._data = 0
        # Whether a chunk that is not decided yet can hold nothing but zeros.
        self._clean = True

    @property
    def sparse(self) -> bool:
        """Whether the file takes less room than it is long."""
        return self._sparse

    def next(self, buffer: memoryview) -> Piece:
        """The next piece, in `buffer` unless it is a hole. An empty one at the end of the file."""
        window = len(buffer) - MAX_CHUNK
        hole = self._hole()
        if hole >= window and self._clean:
            size = min(hole, RUN)
            self._offset += size
            return Piece(None, size, self._offset == self._end)
        size = read_window(self._item, self._fd, self._offset, buffer)
        self._offset += size
        self._clean = hole >= window
        # A short read is the end: what a file grew by meanwhile is for the next add.
        return Piece(buffer, size, size < window)

    def _hole(self) -> int:
        """How many bytes from the offset on lie in a hole."""
        if not self._sparse:
            return 0
        if self._data <= self._offset < self._end:
            self._data = self._next_data()
        return max(0, self._data - self._offset)

    def _next_data(self) -> int:
        with Named(self._item):
            try:
                return os.lseek(self._fd, self._offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return self._end
                if error.errno == errno.EINVAL:
                    # A filesystem that does not know: everything is data.
                    self._sparse = False
                    return self._offset
                raise
