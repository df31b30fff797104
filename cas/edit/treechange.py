"""What an edit makes of a tree: names put or taken away, at any depth, all in one pass.

Pure but for reading the old objects; runs in worker threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...errors import ExistsError
from ...ids import ObjectId
from ..add.scan import DEEPEST
from ..add.staged import DEFAULT_MODE
from ..add.treepages import Merged, Sink, edit_pages
from ..formats.tree import Entry, EntryType
from ..objects import Objects
from ..refnames import shown_path
from ..treesize import Extent, bytes_of

Path = tuple[bytes, ...]


@dataclass(slots=True)
class TreeChange:
    """What becomes of a directory: `entries` are put, those that are None taken away, and
    `folders` change within.

    One that is not there is made, with this mode and mtime; None: with the time of the edit.
    """

    mode: int = DEFAULT_MODE
    mtime_ns: int | None = None
    entries: dict[bytes, Entry | None] = field(default_factory=dict)
    folders: "dict[bytes, TreeChange]" = field(default_factory=dict)

    def at(self, path: Sequence[bytes]) -> "TreeChange":
        """What becomes of the directory at `path` below this one."""
        here = self
        for name in path:
            here = here.folders.setdefault(name, TreeChange())
        return here

    def put(self, path: Path, entry: Entry | None) -> None:
        """Let `path` stand for `entry`, whatever its name was; None: for nothing."""
        named = None
        if entry is not None:
            named = Entry(
                path[-1], entry.type, entry.mode, entry.mtime_ns, entry.size, entry.target
            )
        self.at(path[:-1]).entries[path[-1]] = named


def apply_change(
    objects: Objects, base: ObjectId | None, change: TreeChange, now_ns: int, sink: Sink
) -> Merged:
    """The directory `base` (None: an empty one) after `change`; `sink` gets what is new.

    Every folder that changes must be one, or not be there.
    """
    directory = None if base is None else objects.directory(base)
    changes = dict(change.entries)
    for name, inner in change.folders.items():
        old = None if directory is None else directory.lookup(name)
        merged = apply_change(objects, None if old is None else old.object, inner, now_ns, sink)
        mode, mtime_ns = (inner.mode, inner.mtime_ns) if old is None else (old.mode, old.mtime_ns)
        size = bytes_of(old) + merged.grown
        made = now_ns if mtime_ns is None else mtime_ns
        changes[name] = Entry(name, EntryType.DIRECTORY, mode, made, size, merged.tree)
    return edit_pages(objects, base, sorted(changes.items()), sink)


def require_folders(objects: Objects, root: ObjectId, path: Path) -> None:
    """ExistsError where something that is no folder stands where `path` needs one."""
    for depth in range(1, len(path)):
        found = objects.find(root, path[:depth])
        if found is None:
            return
        if found.type is not EntryType.DIRECTORY:
            raise ExistsError(f"{shown_path(path[:depth])} is no folder there; choose another path")


def too_deep(path: Path, extent: Extent) -> bool:
    """Whether what has that extent would nest deeper at `path` than trees are walked."""
    return len(path) + extent.depth > DEEPEST
