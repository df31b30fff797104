"""What refs reach: commits, directories, files, from the heads back to the first commits.

The heads' trees are walked whole, under the names of their refs. Of an older commit only what
differs from the commit that it was reached from is walked, page by page, under its own id: what is
alike was looked at there. So the work grows with the changes, and memory with the number of commits
and the depth of a tree alone.

Synchronous reads of the index's mirror: for worker threads.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import ModelFloatError
from ...ids import ObjectId
from ..formats.manifest import Manifest
from ..formats.tree import Entry, EntryType
from ..index.index import Index
from ..objects import Objects


@dataclass(frozen=True, slots=True)
class Reached:
    """One commit, directory or file.

    `objects` are those that it is made of, `manifest` is a file's. `broken` says that one of
    them cannot be read here, so what it leads to is not known.
    """

    name: str
    objects: tuple[ObjectId, ...]
    manifest: Manifest | None = None
    broken: bool = False


@dataclass(frozen=True, slots=True)
class _Below:
    """A directory to be walked, as far as it differs from `other`."""

    name: str
    tree: ObjectId
    other: ObjectId | None


class Reach:
    """Walks everything that refs reach, or what lies below one directory."""

    def __init__(self, index: Index, objects: Objects) -> None:
        self._index = index
        self._objects = objects

    def everything(self) -> Iterator[Reached]:
        """All that is reachable; the heads first. A file comes once for each name it has there."""
        seen: set[ObjectId] = set()
        older: list[tuple[str, ObjectId, ObjectId]] = []
        for head in self._index.refs():
            if head.commit in seen:
                continue
            seen.add(head.commit)
            yield from self._commit(f"{head.repo}@{head.ref}", head.commit, None)
            older += self._parents(str(head.repo), head.commit)
        while older:
            repo, commit, child = older.pop()
            if commit not in seen:
                seen.add(commit)
                yield from self._commit(f"{repo}@{commit.hex()[:12]}", commit, child)
                older += self._parents(repo, commit)

    def _parents(self, repo: str, commit: ObjectId) -> list[tuple[str, ObjectId, ObjectId]]:
        try:
            parents = self._objects.commit(commit).parents
        except ModelFloatError:
            return []  # told when the commit itself was reached
        return [(repo, parent, commit) for parent in parents]

    def _commit(self, name: str, commit: ObjectId, child: ObjectId | None) -> Iterator[Reached]:
        try:
            tree = self._objects.commit(commit).tree
        except ModelFloatError:
            yield Reached(name, (commit,), broken=True)
            return
        yield Reached(name, (commit,))
        other = None
        if child is not None:
            other = self._tree_of(child)
        if other != tree:
            yield from self.below(name, tree, other)

    def _tree_of(self, commit: ObjectId) -> ObjectId | None:
        try:
            return self._objects.commit(commit).tree
        except ModelFloatError:
            return None

    def below(self, name: str, tree: ObjectId, other: ObjectId | None = None) -> Iterator[Reached]:
        """A directory and all beneath; of one that is like `other` in parts, the other parts."""
        # A stack in place of recursion: trees nest deeper than the interpreter's calls may.
        stack: list[Iterator[Reached | _Below]] = [iter([_Below(name, tree, other)])]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
            elif isinstance(item, Reached):
                yield item
            else:
                stack.append(self._directory(item))

    def _directory(self, at: "_Below") -> Iterator["Reached | _Below"]:
        try:
            directory = self._objects.directory(at.tree)
            other = None if at.other is None else self._objects.directory(at.other)
            yield Reached(f"{at.name}/", (at.tree, *directory.pages))
            for entry in directory.entries_unlike(other):
                same = None if other is None else other.lookup(entry.name)
                if same is not None and same.type is not entry.type:
                    same = None
                if same is None or same.target != entry.target:
                    yield from self._entry(at.name, entry, same)
        except ModelFloatError:
            yield Reached(f"{at.name}/", (at.tree,), broken=True)

    def _entry(self, folder: str, entry: Entry, same: Entry | None) -> Iterator["Reached | _Below"]:
        name = f"{folder}/{entry.name.decode('utf-8', 'backslashreplace')}"
        if entry.type is EntryType.DIRECTORY:
            yield _Below(name, entry.object, None if same is None else same.object)
        elif entry.type is EntryType.FILE:
            yield self.file(name, entry)

    def file(self, name: str, entry: Entry) -> Reached:
        """A file by its entry."""
        try:
            manifest = self._objects.manifest(entry.object)
        except ModelFloatError:
            return Reached(name, (entry.object,), broken=True)
        return Reached(name, (entry.object, *manifest.objects), manifest)
