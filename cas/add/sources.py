"""Files being added: opened, read, and watched for changes. Synchronous; used in worker threads."""

import os
import stat
from typing import Final

from ...errors import SourceChangedError, SourceUnreadableError
from ..chunking.parser import Siblings
from ..chunking.regions import MAX_CHUNK
from .scan import Item

READING: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
"""How files are opened: without waiting for a writer, should a pipe have taken one's place."""


class FileSource:
    """A file's bytes for parsers: exact reads, SourceChangedError when it shrank."""

    def __init__(self, fd: int, size: int, name: str, beside: Siblings | None = None) -> None:
        self._fd = fd
        self._size = size
        self._name = name
        self._beside = beside

    @property
    def size(self) -> int:
        """Length in bytes when it was opened."""
        return self._size

    @property
    def beside(self) -> Siblings | None:
        """The files in its folder, where they are to be looked at."""
        return self._beside

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes from `offset` on."""
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise SourceChangedError(f"{self._name} shrank while it was being added; add it again")
        return data


class BytesSource:
    """A small file's bytes for parsers, already read."""

    def __init__(self, data: bytes, beside: Siblings | None = None) -> None:
        self._data = data
        self._beside = beside

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._data)

    @property
    def beside(self) -> Siblings | None:
        """The files in its folder, where they are to be looked at."""
        return self._beside

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on."""
        return self._data[offset : offset + size]


def open_item(item: Item) -> int:
    """A descriptor for reading; SourceChangedError when the file is gone, or no file any more."""
    with Named(item):
        fd = os.open(item.source, READING)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise changed(item, "became something else than a file")
        return fd


def read_window(item: Item, fd: int, offset: int, buffer: memoryview) -> int:
    """Fill the part of a window behind its headroom; the number of bytes read."""
    target, done = buffer[MAX_CHUNK:], 0
    with Named(item):
        while done < len(target):
            read = os.preadv(fd, [target[done:]], offset + done)
            if not read:
                break
            done += read
    return done


def read_whole(item: Item, fd: int) -> bytes:
    """A small file's bytes; SourceChangedError when they are not as many as was found."""
    with Named(item):
        data = os.pread(fd, item.size + 1, 0)
    check_unchanged(fd, item)
    if len(data) != item.size:
        raise changed(item)
    return data


def check_unchanged(fd: int, item: Item) -> None:
    """SourceChangedError when size or times are not what they were when the file was found."""
    now = os.fstat(fd)
    then = (item.size, item.mtime_ns, item.ctime_ns)
    if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) != then:
        raise changed(item)


def found_again(item: Item) -> Item:
    """The item as its file is now; SourceChangedError where it is gone, or no file any more."""
    with Named(item):
        status = os.stat(item.source)
    if not stat.S_ISREG(status.st_mode):
        raise changed(item, "became something else than a file")
    return Item.found(item.path, item.source, item.type, status)


def changed(item: Item, how: str = "changed") -> SourceChangedError:
    """The error for a file that is not what it was when it was found."""
    return SourceChangedError(
        f"{os.fsdecode(item.source)} {how} while it was being added; add it again"
    )


class Named:
    """Errors of the system as SourceChangedError or SourceUnreadableError, with the file's name."""

    __slots__ = ("_item",)

    def __init__(self, item: Item) -> None:
        self._item = item

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FileNotFoundError):
            raise changed(self._item, "vanished") from error
        if isinstance(error, OSError):
            name = os.fsdecode(self._item.source)
            raise SourceUnreadableError(f"{name}: {error.strerror}") from error
