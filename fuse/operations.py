"""What a mount answers to each request, whichever binding brings it.

Every method answers, or raises OSError whose errno is the answer. Nothing else leaves this file.

Concurrency: everything but `read_at_once` and `go_on` runs in the event loop; reads of the index go
to worker threads, a few at a time. No method waits for anything that could need another request on
the same mount. A lookup is counted before it is answered, without an await in between; the kernel
forgets an inode only after it was answered, so a count is never too low.
"""

import errno
from collections.abc import Iterable
from typing import Final

from ..ids import Inode, ObjectId
from .attributes import Attributes, Look
from .directories import WINDOW, Directories, Listed, NamedAttributes
from .failures import refusal
from .files import Files
from .inodes import Inodes
from .listings import LONGEST_NAME
from .mountstate import OpenFileState, ReadError
from .nodes import LinkNode
from .readstate import ReadState
from .requests import Requests
from .slowreads import SlowReads
from .source import Source
from .space import Space
from .xattrs import ExtendedAttributes

__all__ = ["WINDOW", "Listed", "NamedAttributes", "Operations"]


class Operations:
    """The read-only filesystem over one store. A binding calls it and counts nothing itself.

    A read that takes `slow` seconds is told in the log; 0: none is.
    """

    def __init__(
        self,
        source: Source,
        look: Look,
        inodes: Inodes | None = None,
        *,
        slow: float = 0.0,
    ) -> None:
        self._requests = Requests(source, look, inodes if inodes is not None else Inodes())
        self.counters: Final = source.counters
        self.slow: Final = SlowReads(source.counters, slow)
        files, directories = Files(self._requests, self.slow), Directories(self._requests)
        attributes = ExtendedAttributes(self._requests)
        self._files: Final = files
        self.open = files.open
        self.read = files.read
        self.read_at_once = files.read_at_once
        self.go_on = files.go_on
        self.backing = files.backing
        self.release = files.release
        self.opendir = directories.opendir
        self.readdir = directories.readdir
        self.remember = directories.remember
        self.releasedir = directories.releasedir
        self.statfs = Space(source.room).statfs
        self.listxattr = attributes.listxattr
        self.getxattr = attributes.getxattr

    async def lookup(self, parent: Inode, name: bytes, pid: int = 0) -> NamedAttributes:
        """What `name` means in the directory `parent`; counts one lookup. ENOENT if nothing;
        ENAMETOOLONG where it can be nothing."""
        if len(name) > LONGEST_NAME:
            raise refusal(errno.ENAMETOOLONG)
        node, tree = self._requests.node(parent), self._requests.tree
        found = await self._requests.engine("lookup", node, pid, lambda: tree.lookup(node, name))
        if found is None:
            raise refusal(errno.ENOENT)
        inode = self._requests.inodes.remember(found.node)
        return NamedAttributes(self._requests.look.attributes(inode, found.node), found.lifetime)

    def getattr(self, inode: Inode) -> Attributes:
        """The attributes of an inode."""
        return self._requests.look.attributes(inode, self._requests.node(inode))

    def forget(self, lookups: Iterable[tuple[Inode, int]]) -> None:
        """The kernel gives back so many lookups of each inode. Never fails."""
        self._requests.inodes.forget(lookups)

    def readlink(self, inode: Inode) -> bytes:
        """The text of a symbolic link."""
        node = self._requests.node(inode)
        if not isinstance(node, LinkNode):
            raise refusal(errno.EINVAL)
        return node.target

    def open_files(self) -> tuple[OpenFileState, ...]:
        """What is open at this moment."""
        return tuple(self._files.states())

    def open_manifests(self) -> list[ObjectId]:
        """The manifests of the files that are open at this moment."""
        return [ObjectId(bytes.fromhex(state.manifest)) for state in self._files.states()]

    def open_count(self) -> int:
        """How many files are open at this moment."""
        return self._files.count()

    def last_errors(self) -> tuple[ReadError, ...]:
        """The last requests that failed, oldest first."""
        return self._requests.errors.all()

    def caches(self) -> bool:
        """Whether files that are open may have a `backing`."""
        return self._requests.source.caches

    def reads(self) -> ReadState:
        """What reading has come to."""
        figures = self._requests.source.figures()
        return ReadState(figures, len(self.slow), self.slow.longest_ns)
