"""What a name means, and what directories list: values, and batches of them."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from ..cas.formats.tree import Entry, EntryType
from ..cas.objects import Directory
from .nodes import DirectoryNode, FileNode, LinkNode, NamedNode

MOVING: Final = 1.0
"""Seconds for which a name may be trusted that can come to mean something else."""
LASTING: Final = 10 * 365 * 86_400.0
"""Seconds for which a name may be trusted that always means the same: for ever, as a number."""
LONGEST_NAME: Final = 255
"""Bytes of a name, as everywhere on Linux; the kernel would refuse the whole directory."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a name means, and for how many seconds it may be trusted to."""

    node: NamedNode
    lifetime: float


@dataclass(frozen=True, slots=True)
class Shown:
    """One entry of a listing; `following` is the index at which the listing goes on after it."""

    name: bytes
    found: Found
    following: int


class Listing(Protocol):
    """A directory's entries at one moment; an entry's index never changes."""

    def batch(self, start: int, count: int) -> list[Shown]:
        """Up to `count` entries from index `start` on; none only at the end."""
        ...


@dataclass(frozen=True, slots=True)
class NameListing:
    """Vendors, repositories or refs, as they were when the directory was opened."""

    entries: list[tuple[bytes, Found]]

    def batch(self, start: int, count: int) -> list[Shown]:
        """See `Listing`."""
        part = self.entries[start : start + count]
        return [Shown(name, found, i) for i, (name, found) in enumerate(part, start + 1)]


@dataclass(frozen=True, slots=True)
class CommitListing:
    """A directory of a commit. A name longer than Linux allows is left out, with a warning."""

    node: DirectoryNode
    directory: Directory

    def batch(self, start: int, count: int) -> list[Shown]:
        """See `Listing`."""
        return list(islice(self._shown(start), count))

    def _shown(self, start: int) -> Iterator[Shown]:
        for following, entry in enumerate(self.directory.entries(start), start + 1):
            if len(entry.name) <= LONGEST_NAME:
                yield Shown(entry.name, Found(node_of(self.node, entry), LASTING), following)
            else:
                log.warning(
                    "%s: an entry's name has %d bytes and cannot be shown; fetch it with "
                    "`modelfloat get`",
                    self.node.label,
                    len(entry.name),
                )


def node_of(parent: DirectoryNode, entry: Entry) -> NamedNode:
    """What an entry of the directory `parent` stands for."""
    if entry.type is EntryType.FILE:
        return FileNode(entry.object, entry.mode, entry.mtime_ns, entry.size, parent, entry.name)
    if entry.type is EntryType.SYMLINK:
        return LinkNode(entry.target, entry.mtime_ns)
    return DirectoryNode(
        parent.place,
        parent.commit,
        (*parent.path, entry.name),
        entry.object,
        entry.mtime_ns,
    )
