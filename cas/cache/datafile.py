"""The bytes of one cached file: a sparse file, locked while it is open.

Synchronous; for worker threads.
"""

import contextlib
import errno
import fcntl
import os
from typing import Final, Protocol

from ...ids import ChunkId
from ..formats.cachemap import MapHead, Seal

DATA: Final = ".data"


class Piece(Protocol):
    """A chunk of a file: its number, its first byte in the file, its length, its id."""

    @property
    def number(self) -> int:
        """From 0 on."""
        ...

    @property
    def offset(self) -> int:
        """Bytes."""
        ...

    @property
    def raw(self) -> int:
        """Bytes."""
        ...

    @property
    def id(self) -> ChunkId:
        """The BLAKE3 of its bytes."""
        ...


class Descriptor:
    """An open file, closed when nobody refers to it any more: so no call ever meets a number that
    has become another file's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


def open_data(path: str, size: int) -> Descriptor | None:
    """A file of `size` bytes, made if it is not there, and locked against deletion; None while
    it is being deleted. OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    data = Descriptor(os.open(path, flags, 0o600))
    if not _take(data.fd, path):
        return None
    if os.fstat(data.fd).st_size != size:
        os.ftruncate(data.fd, size)
    return data


def cached_name(head: MapHead) -> str:
    """What the files of a cached file are called, but for their endings."""
    return f"{head.blake3.hex()}-{head.cut[:8].hex()}"


def seal_of(fd: int) -> Seal:
    """What a seal of a file would say now."""
    found = os.fstat(fd)
    return Seal(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _take(fd: int, path: str) -> bool:
    """Lock a file against deletion; False where it is being deleted, or was."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), os.lstat(path))
    return False


def fill(fd: int, buffer: memoryview, offset: int) -> bool:
    """Read all of `buffer` from `offset` on; False where the file ends before. OSError."""
    done = 0
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], offset + done)
        if not count:
            return False
        done += count
    return True


def write(fd: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`. OSError."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def is_hole(fd: int, piece: Piece) -> bool:
    """Whether nothing was written where a chunk belongs; False where that cannot be told."""
    try:
        return os.lseek(fd, piece.offset, os.SEEK_DATA) >= piece.offset + piece.raw
    except OSError as error:
        return error.errno == errno.ENXIO
