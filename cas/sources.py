"""Files being added: opened, read, and watched for changes. Synchronous; used in worker threads."""

import contextlib
import os
import stat
from collections.abc import Iterator

from ..errors import ModelFloatError, SourceChangedError
from .chunking.regions import MAX_CHUNK
from .scan import Item


class FileSource:
    """A file's bytes for parsers: exact reads, SourceChangedError when it shrank."""

    def __init__(self, fd: int, size: int, name: str) -> None:
        self._fd = fd
        self._size = size
        self._name = name

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on."""
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise SourceChangedError(f"{self._name} shrank while it was being added; add it again")
        return data


class BytesSource:
    """A small file's bytes for parsers, already read."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on."""
        return self._data[offset : offset + size]


def open_item(item: Item) -> int:
    """A descriptor for reading; SourceChangedError when the file is gone, or no file any more."""
    # Without waiting for a writer, should a pipe have taken the file's place.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    with _named(item):
        fd = os.open(item.source, flags)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise changed(item)
        return fd


def read_window(item: Item, fd: int, offset: int, buffer: memoryview) -> int:
    """Fill the part of a window behind its headroom; the number of bytes read."""
    target, done = buffer[MAX_CHUNK:], 0
    with _named(item):
        while done < len(target):
            read = os.preadv(fd, [target[done:]], offset + done)
            if not read:
                break
            done += read
    return done


def read_whole(item: Item, fd: int) -> bytes:
    """A small file's bytes; SourceChangedError when they are not as many as was found."""
    with _named(item):
        data = os.pread(fd, item.status.st_size + 1, 0)
    check_unchanged(fd, item)
    if len(data) != item.status.st_size:
        raise changed(item)
    return data


def check_unchanged(fd: int, item: Item) -> None:
    """SourceChangedError when size or mtime are not what they were when the file was found."""
    now, then = os.fstat(fd), item.status
    if (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
        raise changed(item)


def changed(item: Item) -> SourceChangedError:
    """The error for a file that is not what it was when it was found."""
    return SourceChangedError(
        f"{os.fsdecode(item.source)} changed while it was being added; add it again"
    )


@contextlib.contextmanager
def _named(item: Item) -> Iterator[None]:
    """Errors of the system with the file's name."""
    try:
        yield
    except FileNotFoundError as error:
        raise changed(item) from error
    except OSError as error:
        raise ModelFloatError(f"{os.fsdecode(item.source)}: {error.strerror}") from error
