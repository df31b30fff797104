"""A new tree from the branch's tree and what was added to it, as `cp` would merge them. Pure but
for reading the old objects; runs in a worker thread.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..errors import UsageError
from ..ids import ObjectId
from .formats.objects import object_id
from .formats.tree import Entry, EntryType, encode_tree
from .objects import Objects
from .syncing import Path, Removals

DEFAULT_MODE = 0o755


@dataclass(slots=True)
class Staged:
    """A directory of what is to be added: its own mode and mtime, and what goes into it.

    Without an mtime it stands only for a part of a path: a directory that is there keeps its own
    mode and mtime. If it is `whole`, what is there and not in it is removed.
    """

    mode: int = DEFAULT_MODE
    mtime_ns: int | None = None
    whole: bool = False
    entries: "dict[bytes, Entry | Staged]" = field(default_factory=dict)

    def directory(self, path: Iterable[bytes]) -> "Staged":
        """The staged directory at `path` below this one, made where it is not there."""
        here = self
        for name in path:
            there = here.entries.setdefault(name, Staged())
            if not isinstance(there, Staged):
                raise UsageError(f"{_text(name)} is added both as a file and as a directory")
            here = there
        return here

    def put(self, folder: Iterable[bytes], entry: Entry, *, new: bool) -> None:
        """Stage one file or link; if it should be `new`, the same path twice is a UsageError."""
        entries = self.directory(folder).entries
        if new and entry.name in entries:
            raise UsageError(f"{_text(entry.name)} is added twice to the same place")
        entries[entry.name] = entry


@dataclass(frozen=True, slots=True)
class Merged:
    """A directory after the merge: its tree's id, bytes of all files beneath, new objects."""

    tree: ObjectId
    size: int
    objects: list[bytes]


def check_conflicts(objects: Objects, base: ObjectId | None, staged: Staged) -> None:
    """UsageError where a file would take a directory's place or the other way round: `cp` refuses
    both. In a directory that becomes as the sources are, both may be."""
    if base is None or staged.whole:
        return
    directory = objects.directory(base)
    for name, new in staged.entries.items():
        old = directory.lookup(name)
        if old is None:
            continue
        was, is_ = old.type is EntryType.DIRECTORY, isinstance(new, Staged)
        if was != is_ and not (isinstance(new, Staged) and new.whole):
            kinds = ("a folder", "a file") if was else ("a file", "a folder")
            raise UsageError(
                f"{_text(name)} is {kinds[0]} there and would become {kinds[1]}; "
                "choose another path"
            )
        if was and isinstance(new, Staged):
            check_conflicts(objects, old.object, new)


def merge(
    objects: Objects,
    base: ObjectId | None,
    staged: Staged,
    now_ns: int,
    removals: Removals | None = None,
) -> Merged:
    """Lay `staged` over the directory `base` (None: an empty one); new directories that have no
    mtime of their own get `now_ns`.

    `removals` is told what goes, where a staged directory is whole.
    """
    return _Merge(objects, now_ns, removals).directory(base, staged, (), whole=False)


@dataclass(frozen=True, slots=True)
class _Merge:
    objects: Objects
    now_ns: int
    removals: Removals | None

    def directory(
        self, base: ObjectId | None, staged: Staged, path: Path, *, whole: bool
    ) -> Merged:
        whole = whole or staged.whole
        removals = self.removals if whole else None
        merged: dict[bytes, Entry] = {}
        made: list[bytes] = []
        for old in () if base is None else self.objects.directory(base).entries():
            left: Entry | None = old
            if removals is not None:
                there, at = staged.entries.get(old.name), (*path, old.name)
                left, inner = _left(self.objects, removals, old, there, at)
                made += inner
            if left is not None:
                merged[left.name] = left
        for name, new in staged.entries.items():
            was = merged.get(name)
            if isinstance(new, Staged):
                entry, inner = self._subdirectory(name, was, new, (*path, name), whole=whole)
                made += inner
            else:
                entry = new
            merged[name] = was if was is not None and _same(was, entry) else entry
        trees = encode_tree(entry for _, entry in sorted(merged.items()))
        size = sum(e.size for e in merged.values() if e.type is not EntryType.SYMLINK)
        return Merged(object_id(trees[-1]), size, made + trees)

    def _subdirectory(
        self, name: bytes, old: Entry | None, new: Staged, path: Path, *, whole: bool
    ) -> tuple[Entry, list[bytes]]:
        base = old if old is not None and old.type is EntryType.DIRECTORY else None
        if old is not None and new.whole and not whole and self.removals is not None:
            self.removals.replaced(self.objects, old, path, by_folder=True)
        inner = self.directory(base.object if base else None, new, path, whole=whole)
        mode, mtime_ns = new.mode, new.mtime_ns
        if mtime_ns is None:
            mode, mtime_ns = (base.mode, base.mtime_ns) if base else (DEFAULT_MODE, self.now_ns)
        entry = Entry(name, EntryType.DIRECTORY, mode, mtime_ns, inner.size, inner.tree)
        return entry, inner.objects


def _left(
    objects: Objects, removals: Removals, old: Entry, new: Entry | Staged | None, path: Path
) -> tuple[Entry | None, list[bytes]]:
    """What a whole directory leaves of an entry that was in it, before `new` takes its place."""
    if new is None:
        return removals.without(objects, old, path)
    removals.replaced(objects, old, path, by_folder=isinstance(new, Staged))
    return old, []


def _same(old: Entry, new: Entry) -> bool:
    """Whether an entry says the same; another mtime alone is no change."""
    return replace(old, mtime_ns=new.mtime_ns) == new


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
