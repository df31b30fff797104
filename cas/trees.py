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

DEFAULT_MODE = 0o755


@dataclass(slots=True)
class Staged:
    """A directory of what is to be added: its own mode and mtime, and what goes into it.

    Without an mtime it stands only for a part of a path: a directory that is there keeps its own
    mode and mtime.
    """

    mode: int = DEFAULT_MODE
    mtime_ns: int | None = None
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
    both."""
    if base is None:
        return
    directory = objects.directory(base)
    for name, new in staged.entries.items():
        old = directory.lookup(name)
        if old is None:
            continue
        was, is_ = old.type is EntryType.DIRECTORY, isinstance(new, Staged)
        if was != is_:
            kinds = ("a folder", "a file") if was else ("a file", "a folder")
            raise UsageError(
                f"{_text(name)} is {kinds[0]} there and would become {kinds[1]}; "
                "choose another path"
            )
        if isinstance(new, Staged):
            check_conflicts(objects, old.object, new)


def merge(objects: Objects, base: ObjectId | None, staged: Staged, now_ns: int) -> Merged:
    """Lay `staged` over the directory `base` (None: an empty one); new directories that have no
    mtime of their own get `now_ns`."""
    merged: dict[bytes, Entry] = {}
    if base is not None:
        merged = {entry.name: entry for entry in objects.directory(base).entries()}
    made: list[bytes] = []
    for name, new in staged.entries.items():
        old = merged.get(name)
        if isinstance(new, Staged):
            entry, inner = _merge_directory(objects, name, old, new, now_ns)
            made += inner
        else:
            entry = new
        merged[name] = old if old is not None and _same(old, entry) else entry
    trees = encode_tree(entry for _, entry in sorted(merged.items()))
    made += trees
    return Merged(
        object_id(trees[-1]),
        sum(e.size for e in merged.values() if e.type is not EntryType.SYMLINK),
        made,
    )


def _merge_directory(
    objects: Objects, name: bytes, old: Entry | None, new: Staged, now_ns: int
) -> tuple[Entry, list[bytes]]:
    base = old if old is not None and old.type is EntryType.DIRECTORY else None
    inner = merge(objects, base.object if base else None, new, now_ns)
    mode, mtime_ns = new.mode, new.mtime_ns
    if mtime_ns is None:
        mode, mtime_ns = (base.mode, base.mtime_ns) if base else (DEFAULT_MODE, now_ns)
    entry = Entry(name, EntryType.DIRECTORY, mode, mtime_ns, inner.size, inner.tree)
    return entry, inner.objects


def _same(old: Entry, new: Entry) -> bool:
    """Whether an entry says the same; another mtime alone is no change."""
    return replace(old, mtime_ns=new.mtime_ns) == new


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
