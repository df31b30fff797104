"""`add --sync`: what the tree has and the sources do not is removed, as `rsync --delete` does it.

What a pattern leaves out is not looked at in the sources, so nothing is concluded from its absence
there: it stays in the tree. A folder with something in it that stays, stays as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ...errors import ExistsError
from ...ids import ObjectId
from ..formats.tree import Entry, EntryType, encode_tree
from ..objects import Objects

Path = tuple[bytes, ...]
Remainder = tuple[Entry | None, list[bytes]]
"""What is left of an entry, and the objects that were made for it."""


@dataclass(slots=True)
class Removals:
    """What a merge takes away below the folder `root` of the tree.

    `stays` says of a path below `root` that it is not to be touched. `removed` lists paths in the
    repository; a folder that goes with all it has is one path, with a slash behind it. `files`
    counts the files.
    """

    root: Path
    stays: Callable[[Path], bool]
    removed: list[Path] = field(default_factory=list)
    files: int = 0

    def names(self) -> list[str]:
        """What is removed, as people read it."""
        return [b"/".join(path).decode("utf-8", "surrogateescape") for path in sorted(self.removed)]

    def without(
        self, objects: Objects, entry: Entry, path: Path
    ) -> tuple[Entry | None, list[bytes]]:
        """What is left of an entry at `path` that the sources do not have."""
        if self.stays(path[len(self.root) :]):
            return entry, []
        if entry.type is not EntryType.DIRECTORY:
            self.removed.append(path)
            self.files += 1
            return None, []
        return self._folder(objects, entry, path)

    def _folder(self, objects: Objects, folder: Entry, path: Path) -> Remainder:
        before = len(self.removed)
        left: list[Entry] = []
        made: list[bytes] = []
        for entry in objects.directory(folder.object).entries():
            kept, inner = self.without(objects, entry, (*path, entry.name))
            made += inner
            if kept is not None:
                left.append(kept)
        if not left:
            self.removed[before:] = [(*path, b"")]
            return None, []
        if len(self.removed) == before:
            return folder, []
        trees = list(encode_tree(left, objects.ids))
        size = sum(e.size for e in left if e.type is not EntryType.SYMLINK)
        tree: ObjectId = objects.ids.object(trees[-1])
        changed = Entry(folder.name, EntryType.DIRECTORY, folder.mode, folder.mtime_ns, size, tree)
        return changed, [*made, *trees]

    def replaced(self, objects: Objects, old: Entry, path: Path, *, by_folder: bool) -> None:
        """Note that something else takes the place of `old`, if it is of another kind.

        ExistsError where a file would take the place of a folder in which something must stay.
        """
        if (old.type is EntryType.DIRECTORY) is by_folder:
            return
        left, _ = self.without(objects, old, path)
        if left is not None and old.type is EntryType.DIRECTORY:
            name = b"/".join(path).decode("utf-8", "backslashreplace")
            raise ExistsError(
                f"{name} is a folder there, holds what is left out, and would become a file; "
                "remove it there first, or do not leave that out"
            )
