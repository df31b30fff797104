"""The tree a mount shows: `/vendor/name/…`; and, not listed, `/vendor/name@REV/…` and `/.hf`.

Names become nodes here, and directories become listings. Everything is a synchronous read of the
index: the caller puts it into a worker thread. Refs are read afresh each time, so new commits are
seen at once; what stands below a commit never changes.
"""

import functools
import logging
from typing import Final

from ..cas.refnames import RepoName, parse_address
from ..errors import ModelFloatError, NotFoundError, UsageError
from ..ids import is_name
from .hubtree import HUB, HubTree
from .listings import LASTING, MOVING, CommitListing, Found, Listing, NameListing, node_of
from .nodes import DirectoryNode, HubNode, Node, RootNode, VendorNode
from .source import Source

_DIRECTORIES: Final = 32
"""Directories kept decoded, so that lookups in them need not verify and decode them again."""

log = logging.getLogger(__name__)


class Tree:
    """Names and listings of a store."""

    def __init__(self, source: Source) -> None:
        self._refs = source.refs
        self._objects = source.objects
        self._hub = HubTree(source.refs, source.objects)
        self._directory = functools.lru_cache(_DIRECTORIES)(source.objects.directory)

    def lookup(self, parent: Node, name: bytes) -> Found | None:
        """What `name` means in the directory `parent`; None if nothing.

        NotADirectoryError for a parent that is none; ModelFloatError when the index is damaged or a
        branch has several heads.
        """
        if isinstance(parent, DirectoryNode):
            entry = self._directory(parent.tree).lookup(name)
            return None if entry is None else Found(node_of(parent, entry), LASTING)
        if not isinstance(parent, RootNode | VendorNode | HubNode):
            raise NotADirectoryError(f"{parent.label} is no directory")
        try:
            text = name.decode()
        except UnicodeDecodeError:
            return None
        if isinstance(parent, HubNode):
            return self._hub.lookup(parent, text)
        if isinstance(parent, RootNode):
            return Found(HUB, LASTING) if text == HUB.label else self._vendor(text)
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
        if isinstance(node, HubNode):
            return NameListing(self._hub.entries(node))
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
        node = DirectoryNode(f"{repo.vendor}/{shown}", id_, (), commit.tree, commit.time_ns)
        # Tags can be removed and made again, and a prefix can come to be another commit's.
        return Found(node, LASTING if rev == id_.hex() else MOVING)
