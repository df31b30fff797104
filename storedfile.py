"""A stored file as Python's own files are: what `Store.open` gives."""

import io
from collections.abc import Callable
from typing import Final

from .cas.read.filereader import FileReader

PIECE: Final = 8 << 20
"""Bytes that one read of a file brings at most."""

Read = Callable[[FileReader, int, int], memoryview | bytes]
"""Bytes of an open file: the reader, an offset, a size."""


class File(io.RawIOBase):
    """A stored file as a binary file object. Wrap it in io.BufferedReader for tiny reads."""

    def __init__(self, name: str, reader: FileReader, read: Read) -> None:
        super().__init__()
        self.name = name
        self._read = read
        self._reader = reader
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, the position, or the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size}
        if whence not in base or base[whence] + offset < 0:
            raise ValueError(f"cannot seek to {offset} from {whence}")
        self._position = base[whence] + offset
        return self._position

    def readinto(self, buffer: object) -> int:
        """Fill `buffer` from the position on; the number of bytes, 0 at the end."""
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if self.closed:
            raise ValueError("the file is closed")
        # More at once would only hold more memory; callers of raw files expect short reads.
        data = self._read(self._reader, self._position, min(len(target), PIECE))
        target[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Everything from the position on."""
        buffer = bytearray(max(0, self._reader.size - self._position))
        view, done = memoryview(buffer), 0
        while done < len(buffer) and (count := self.readinto(view[done:])):
            done += count
        return bytes(view[:done])
