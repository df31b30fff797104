"""The tree a mount shows: `/vendor/name/…`, and `/vendor/name@REV/…` which is not listed.

Names become nodes here, and directories become listings. Everything is a synchronous read of the
index: the caller puts it into a worker thread. Refs are read afresh each time, so new commits are
seen at once; what stands below a commit never changes.
"""

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol

from ..cas.formats.tree import Entry, EntryType
from ..cas.objects import Directory
from ..cas.refnames import RepoName, parse_address
from ..errors import ModelFloatError, NotFoundError, UsageError
from ..ids import is_name
from .nodes import DirectoryNode, FileNode, LinkNode, NamedNode, Node, RootNode, VendorNode
from .source import Source

MOVING: Final = 1.0
"""Seconds for which a name may be trusted that can come to mean something else."""
LASTING: Final = 10 * 365 * 86_400.0
"""Seconds for which a name may be trusted that always means the same: for ever, as a number."""
LONGEST_NAME: Final = 255
"""Bytes of a name, as everywhere on Linux; the kernel would refuse the whole directory."""
_DIRECTORIES: Final = 32
"""Directories kept decoded, so that lookups in them need not verify and decode them again."""

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
    """Vendors or repositories, as they were when the directory was opened."""

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
                yield Shown(entry.name, Found(_node_of(self.node, entry), LASTING), following)
            else:
                log.warning(
                    "%s: an entry's name has %d bytes and cannot be shown; fetch it with "
                    "`modelfloat get`",
                    self.node.label,
                    len(entry.name),
                )


class Tree:
    """Names and listings of a store."""

    def __init__(self, source: Source) -> None:
        self._refs = source.refs
        self._objects = source.objects
        self._directory = functools.lru_cache(_DIRECTORIES)(source.objects.directory)

    def lookup(self, parent: Node, name: bytes) -> Found | None:
        """What `name` means in the directory `parent`; None if nothing.

        NotADirectoryError for a parent that is none; ModelFloatError when the index is damaged or a
        branch has several heads.
        """
        if isinstance(parent, DirectoryNode):
            entry = self._directory(parent.tree).lookup(name)
            return None if entry is None else Found(_node_of(parent, entry), LASTING)
        if not isinstance(parent, RootNode | VendorNode):
            raise NotADirectoryError(f"{parent.label} is no directory")
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return None
        if isinstance(parent, RootNode):
            return self._vendor(text)
        return self._repository(parent.vendor, text)

    def listing(self, node: Node) -> Listing:
        """What stands in the directory `node` now; the errors of `lookup`."""
        if isinstance(node, DirectoryNode):
            return CommitListing(node, self._directory(node.tree))
        if isinstance(node, RootNode):
            vendors = self._refs.vendors()
            return NameListing([(v.encode(), Found(VendorNode(v), MOVING)) for v in vendors])
        if isinstance(node, VendorNode):
            return NameListing(self._repositories(node.vendor))
        raise NotADirectoryError(f"{node.label} is no directory")

    def _vendor(self, name: str) -> Found | None:
        if not is_name(name) or name not in self._refs.vendors():
            return None
        return Found(VendorNode(name), MOVING)

    def _repository(self, vendor: str, shown: str) -> Found | None:
        """`name` or `name@REV`; what no such name can be is simply not there."""
        try:
            address = parse_address(f"{vendor}/{shown}")
            return self._resolve(address.repo, shown, address.rev)
        except (NotFoundError, UsageError):
            return None

    def _repositories(self, vendor: str) -> list[tuple[bytes, Found]]:
        """All with a default branch; one whose default branch cannot be told is left out."""
        found = []
        for repo in self._refs.repositories(vendor):
            try:
                found.append((repo.name.encode(), self._resolve(repo, repo.name, None)))
            except NotFoundError:
                continue
            except ModelFloatError as error:
                log.warning("%s is not listed: %s", repo, error)
        return found

    def _resolve(self, repo: RepoName, shown: str, rev: str | None) -> Found:
        id_ = self._refs.resolve(repo, rev)
        commit = self._objects.commit(id_)
        node = DirectoryNode(repo, shown, id_, (), commit.tree, commit.time_ns)
        # Tags can be removed and made again, and a prefix can come to be another commit's.
        return Found(node, LASTING if rev == id_.hex() else MOVING)


def _node_of(parent: DirectoryNode, entry: Entry) -> NamedNode:
    if entry.type is EntryType.FILE:
        return FileNode(entry.object, entry.mode, entry.mtime_ns, entry.size, parent, entry.name)
    if entry.type is EntryType.SYMLINK:
        return LinkNode(entry.target, entry.mtime_ns)
    return DirectoryNode(
        parent.repo,
        parent.shown,
        parent.commit,
        (*parent.path, entry.name),
        entry.object,
        entry.mtime_ns,
    )
