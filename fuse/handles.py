"""Open files and directories, by the handle that the kernel quotes.

Handles of one inode share one reader: several threads or processes in one file are streams of that
reader, told apart by their offsets, and what one of them has loaded serves the others.

Concurrency: used in the event loop only, and nothing here awaits. Any thread may `get`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, NewType, TypeVar

from ..ids import Inode
from .listings import Listing, Shown
from .nodes import FileNode, Node, TextNode
from .source import OpenFile

Handle = NewType("Handle", int)
"""One open file or directory of a mount."""

T = TypeVar("T")


class Handles(Generic[T]):
    """What is open, by handle; a handle is not used twice."""

    def __init__(self) -> None:
        self._open: dict[Handle, T] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[T]:
        """What is open."""
        return iter(self._open.values())

    def add(self, value: T) -> Handle:
        """A handle for what was opened."""
        handle = Handle(next(self._numbers))
        self._open[handle] = value
        return handle

    def get(self, handle: Handle) -> T | None:
        """What a handle stands for; None when it is not open."""
        return self._open.get(handle)

    def remove(self, handle: Handle) -> T | None:
        """Close a handle; what it stood for."""
        return self._open.pop(handle, None)


@dataclass(slots=True)
class OpenedFile:
    """One open file: its node, its reader, and the process that opened it.

    `told` is the last failure that was logged for it: a program that reads on after an error would
    fill the log with one line.
    """

    inode: Inode
    node: FileNode | TextNode
    reader: OpenFile
    pid: int
    told: str = ""


@dataclass(slots=True)
class OpenedDirectory:
    """One open directory. `window` holds the entries that were last decoded, from `start` on.

    The kernel asks for some two dozen entries at a time; decoding many at once saves a hop to a
    worker thread for most of its requests.
    """

    node: Node
    listing: Listing
    pid: int
    start: int = 0
    window: list[Shown] = field(default_factory=list)

    def known(self, offset: int) -> list[Shown]:
        """Those entries of the window that come at or after the index `offset`."""
        if offset < self.start:
            return []
        return self.window[bisect_right(self.window, offset, key=lambda shown: shown.following) :]


@dataclass(slots=True)
class _Shared:
    reader: OpenFile
    users: int


class SharedReaders:
    """One reader for each inode that is open."""

    def __init__(self) -> None:
        self._readers: dict[Inode, _Shared] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def reuse(self, inode: Inode) -> OpenFile | None:
        """The inode's reader for one handle more; None when it has none yet."""
        shared = self._readers.get(inode)
        if shared is None:
            return None
        shared.users += 1
        return shared.reader

    def share(self, inode: Inode, make: Callable[[], OpenFile]) -> OpenFile:
        """The inode's reader for one handle more, made by `make` when it has none yet."""
        reader = self.reuse(inode)
        if reader is None:
            reader = make()
            self._readers[inode] = _Shared(reader, 1)
        return reader

    def release(self, inode: Inode) -> None:
        """One handle less; the last one closes the reader."""
        shared = self._readers[inode]
        shared.users -= 1
        if shared.users == 0:
            del self._readers[inode]
            shared.reader.close()
