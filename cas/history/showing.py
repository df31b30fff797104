"""What an address shows: a commit and what it changed, or what lies at a path in it.

Synchronous reads of the index's mirror.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...ids import ObjectId
from ..addressed import Named, look_up
from ..formats.commit import Commit
from ..formats.manifest import Manifest
from ..formats.tree import Entry, EntryType
from ..objects import Objects
from ..refnames import Address
from ..refs import Refs
from ..treesize import size_of
from .treechanges import Changed, TreeChanges


@dataclass(frozen=True, slots=True)
class ShownCommit:
    """A commit: `refs` are the branches and tags that point at it, `size` is that of all its
    files, in bytes."""

    id: ObjectId
    commit: Commit
    refs: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """What lies at a path in the commit `id`; `manifest` is None for folders and links."""

    id: ObjectId
    named: Named
    entry: Entry
    manifest: Manifest | None


def shown_at(objects: Objects, refs: Refs, address: Address) -> ShownCommit | ShownEntry:
    """What `address` shows; NotFoundError, UsageError or ConflictError where that is nothing."""
    id_ = refs.resolve(address.repo, address.rev)
    named = look_up(objects, refs, address)
    if named.entry is None:
        commit = objects.commit(id_)
        names = tuple(head.ref for head in refs.heads(address.repo) if head.commit == id_)
        return ShownCommit(id_, commit, names, size_of(objects, commit.tree))
    is_file = named.entry.type is EntryType.FILE
    manifest = objects.manifest(named.entry.object) if is_file else None
    return ShownEntry(id_, named, named.entry, manifest)


def changes_of(objects: Objects, commit: Commit) -> Iterator[Changed]:
    """What a commit changed against its first parent: every file and link."""
    parent = objects.commit(commit.parents[0]).tree if commit.parents else None
    return TreeChanges(objects).each(parent, commit.tree)
