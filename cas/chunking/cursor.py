"""Reading a file of foreign structure from front to back, in windows, within bounds.

Lengths in such a file mean nothing until they were held against what is there, and a number of
things says nothing about how many there are. So a cursor never goes beyond its end, skips without
reading, and stops when it has read, or counted, more than any real file needs.
"""

import struct
from typing import Final

from .parser import Source

READ_LIMIT: Final = 128 << 20
"""Bytes of a file that are read to find its structure; vocabularies take tens of MB."""
STRING_LIMIT: Final = 1 << 22
"""Strings that are passed; a vocabulary has some 500,000."""
FIRST_WINDOW: Final = 4 << 10
"""Bytes read after a jump; twice as many each time as long as there is none."""
LARGEST_WINDOW: Final = 256 << 10

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")


class Cursor:
    """A place in a source, and the window round it. ValueError for whatever does not add up; the
    source's own errors pass."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._end = source.size
        self._base = 0
        self._at = 0
        self._data = b""
        self._window = FIRST_WINDOW
        self._read = 0
        self._strings = 0

    @property
    def position(self) -> int:
        """Offset in the file, in bytes."""
        return self._base + self._at

    @property
    def left(self) -> int:
        """Bytes up to the end of the file."""
        return self._end - self.position

    def take(self, size: int) -> bytes:
        """The next `size` bytes, at most `LARGEST_WINDOW`."""
        self._have(size)
        start = self._at
        self._at += size
        return self._data[start : start + size]

    def skip(self, size: int) -> None:
        """Go on behind the next `size` bytes, which are not read."""
        if size > self.left:
            raise ValueError(f"{size} bytes at {self.position}, where the file has {self.left}")
        self._at += size

    def u32(self) -> int:
        """A number of 4 bytes, little-endian."""
        self._have(4)
        (number,) = _U32.unpack_from(self._data, self._at)
        self._at += 4
        return int(number)

    def u64(self) -> int:
        """A number of 8 bytes, little-endian."""
        self._have(8)
        (number,) = _U64.unpack_from(self._data, self._at)
        self._at += 8
        return int(number)

    def skip_strings(self, count: int, length: struct.Struct) -> None:
        """Go on behind `count` strings, each with its `length` before it.

        One window holds thousands of them, and they are what most metadata consists of.
        """
        if count > self.left // length.size:
            raise ValueError(f"{count} strings, where the file has {self.left} bytes")
        self._strings += count
        if self._strings > STRING_LIMIT:
            raise ValueError(f"more than {STRING_LIMIT:,} strings")
        unpack, head = length.unpack_from, length.size
        while count:
            self._have(head)
            data, at = self._data, self._at
            last = len(data) - head
            while count and at <= last:
                at += head + unpack(data, at)[0]
                count -= 1
            self.skip(at - self._at)

    def _have(self, size: int) -> None:
        """Make the window hold the next `size` bytes."""
        missing = self._at + size - len(self._data)
        if missing <= 0:
            return
        if size > min(self.left, LARGEST_WINDOW):
            raise ValueError(f"{size} bytes at {self.position}, where the file has {self.left}")
        jumped = self._at > len(self._data)
        self._window = FIRST_WINDOW if jumped else min(2 * self._window, LARGEST_WINDOW)
        position = self.position
        wanted = min(max(size, self._window), self.left)
        self._read += wanted
        if self._read > READ_LIMIT:
            raise ValueError(f"a structure of more than {READ_LIMIT:,} bytes")
        self._data = self._source.read(position, wanted)
        self._base, self._at = position, 0
