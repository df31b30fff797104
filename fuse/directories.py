"""Open directories: what a mount answers to opendir, readdir and releasedir.

Concurrency: everything runs in the event loop. A handle lists what its directory held when it was
opened, so offsets stay true while branches move.
"""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..ids import Inode
from .attributes import Attributes
from .failures import refusal
from .handles import Handle, Handles, OpenedDirectory
from .listings import Shown
from .nodes import NamedNode
from .requests import Requests

WINDOW: Final = 512
"""Directory entries decoded at a time."""


@dataclass(frozen=True, slots=True)
class NamedAttributes:
    """What a name means: attributes, and the seconds for which the name may be trusted."""

    attributes: Attributes
    lifetime: float


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a listing; `following` is the offset at which the listing goes on."""

    name: bytes
    node: NamedNode
    entry: NamedAttributes
    following: int


class Directories:
    """The open directories of a mount."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._open: Handles[OpenedDirectory] = Handles()

    async def opendir(self, inode: Inode, pid: int = 0) -> Handle:
        """Open a directory: what it holds now is what this handle lists."""
        node, tree = self._requests.node(inode), self._requests.tree
        listing = await self._requests.engine("opendir", node, pid, lambda: tree.listing(node))
        return self._open.add(OpenedDirectory(node, listing, pid))

    async def readdir(self, handle: Handle, offset: int) -> Iterator[Listed]:
        """Entries of an open directory from that offset on; none when it is at its end.

        There may be more than are yielded. Each one that was handed to the kernel must be
        counted with `remember`, before anything else is awaited.
        """
        directory = self._open.get(handle)
        if directory is None:
            raise refusal(errno.EBADF)
        known = directory.known(offset)
        if not known:
            batch = directory.listing.batch
            known = await self._requests.engine(
                "readdir", directory.node, directory.pid, lambda: batch(offset, WINDOW)
            )
            directory.start, directory.window = offset, known
        return self._listed(known)

    def remember(self, listed: Listed) -> None:
        """Count a lookup of an entry that the kernel was handed."""
        self._requests.inodes.remember(listed.node)

    def releasedir(self, handle: Handle) -> None:
        """Close a directory."""
        if self._open.remove(handle) is None:
            raise refusal(errno.EBADF)

    def _listed(self, entries: list[Shown]) -> Iterator[Listed]:
        look, inodes = self._requests.look, self._requests.inodes
        for shown in entries:
            node = shown.found.node
            attributes = look.attributes(inodes.number(node), node)
            entry = NamedAttributes(attributes, shown.found.lifetime)
            yield Listed(shown.name, node, entry, shown.following)
