"""What differs between the trees of two commits: files and links, how many, and how large.

Equal subtrees are not looked at. Synchronous reads of the index's mirror; memory grows with the
depth of a tree alone.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...ids import ObjectId
from ..formats.tree import Entry, EntryType
from ..objects import Directory, Objects

KEPT: Final = 16
"""Directories that are kept at hand: a commit's are its child's other side."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A file or link that differs: its path, and what there was and is of it. Never a directory."""

    path: bytes
    old: Entry | None
    new: Entry | None


@dataclass(slots=True)
class Changes:
    """Files and links that were added, changed and removed; `grown` is by how many bytes the files
    are more than before."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    grown: int = 0

    def __str__(self) -> str:
        parts = [("+", self.added), ("~", self.changed), ("-", self.removed)]
        return " ".join(f"{sign}{count}" for sign, count in parts if count) or "none"

    def note(self, each: Changed) -> None:
        """Count one."""
        self.added += each.old is None
        self.removed += each.new is None
        self.changed += each.old is not None and each.new is not None
        self.grown += _bytes(each.new) - _bytes(each.old)


class TreeChanges:
    """Compares trees of one store. Not for several threads at once."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: OrderedDict[ObjectId, Directory] = OrderedDict()

    def count(self, old: ObjectId | None, new: ObjectId | None) -> Changes:
        """How many files and links differ, None being an empty directory."""
        found = Changes()
        for each in self.each(old, new):
            found.note(each)
        return found

    def each(self, old: ObjectId | None, new: ObjectId | None) -> Iterator[Changed]:
        """Every file and link that differs, those of one directory in order."""
        stack = [(b"", old, new)]
        while stack:
            folder, before, after = stack.pop()
            below = []
            for was, now in self._names(before, after):
                entry = now or was
                path = folder + (entry.name if entry else b"")
                trees = _tree(was), _tree(now)
                if any(trees) and trees[0] != trees[1]:
                    below.append((path + b"/", *trees))
                leaves = Changed(path, _leaf(was), _leaf(now))
                if _differ(leaves.old, leaves.new):
                    yield leaves
            stack += reversed(below)

    def _names(
        self, old: ObjectId | None, new: ObjectId | None
    ) -> Iterator[tuple[Entry | None, Entry | None]]:
        if new is not None:
            before = None if old is None else self._directory(old)
            yield from self._directory(new).changes_from(before)
        elif old is not None:
            yield from ((entry, None) for entry in self._directory(old).entries())

    def _directory(self, tree: ObjectId) -> Directory:
        found = self._kept.pop(tree, None) or self._objects.directory(tree)
        self._kept[tree] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found


def _bytes(entry: Entry | None) -> int:
    """A link has none, as in the sizes of directories."""
    return entry.size if entry is not None and entry.type is EntryType.FILE else 0


def _tree(entry: Entry | None) -> ObjectId | None:
    return entry.object if entry is not None and entry.type is EntryType.DIRECTORY else None


def _leaf(entry: Entry | None) -> Entry | None:
    return None if entry is None or entry.type is EntryType.DIRECTORY else entry


def _differ(old: Entry | None, new: Entry | None) -> bool:
    """Whether more than a time is another."""
    if old is None or new is None:
        return old is not new
    return (old.type, old.target, old.mode) != (new.type, new.target, new.mode)
