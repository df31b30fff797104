"""A new tree from the branch's tree and what was added to it, as `cp` would merge them. Pure but
for reading the old objects; runs in a worker thread.

Both trees are read side by side in the order of their names, and the new one is handed on object by
object, so a directory may be of any length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import ExistsError
from ...ids import ObjectId
from ..formats.tree import Entry, EntryType, encode_tree
from ..objects import Directory, Objects
from ..treesize import bytes_of
from .staged import DEFAULT_MODE, Staged, shown
from .syncing import Path, Removals
from .treepages import Change, Merged, Sink, edit_pages

FEW: Final = 8
"""A directory with more than so many times the names that are new is edited tree by tree."""


def check_conflicts(objects: Objects, base: ObjectId | None, staged: Staged) -> None:
    """ExistsError where a file would take a directory's place or the other way round: `cp` refuses
    both. In a directory that becomes as the sources are, both may be."""
    if base is None or staged.whole:
        return
    directory = objects.directory(base)
    for name, new in staged.entries():
        old = directory.lookup(name)
        if old is None:
            continue
        was, is_ = old.type is EntryType.DIRECTORY, isinstance(new, Staged)
        if was != is_ and not (isinstance(new, Staged) and new.whole):
            kinds = ("a folder", "a file") if was else ("a file", "a folder")
            raise ExistsError(
                f"{shown(name)} is {kinds[0]} there and would become {kinds[1]}; "
                "choose another path"
            )
        if was and isinstance(new, Staged):
            check_conflicts(objects, old.object, new)


def merge(
    objects: Objects,
    base: ObjectId | None,
    staged: Staged,
    now_ns: int,
    sink: Sink,
    removals: Removals | None = None,
) -> Merged:
    """Lay `staged` over the directory `base` (None: an empty one); new directories that have no
    mtime of their own get `now_ns`. `sink` gets every object of every directory that was merged,
    those beneath first.

    `removals` is told what goes, where a staged directory is whole.
    """
    return _Merge(objects, now_ns, sink, removals).directory(base, staged, (), whole=False)


@dataclass(frozen=True, slots=True)
class _Merge:
    objects: Objects
    now_ns: int
    sink: Sink
    removals: Removals | None

    def directory(
        self, base: ObjectId | None, staged: Staged, path: Path, *, whole: bool
    ) -> Merged:
        whole = whole or staged.whole
        directory = None if base is None else self.objects.directory(base)
        # Before this one is encoded: within its generators recursion would be six frames deep a
        # level.
        folders: dict[bytes, Entry] = {}
        for name, new in staged.folders.items():
            folders[name] = self._subdirectory(directory, name, new, (*path, name), whole=whole)
        if directory is not None and not whole and _few(staged, directory):
            return edit_pages(self.objects, base, _changes(directory, staged, folders), self.sink)
        return self._entry_by_entry(directory, staged, folders, path, whole=whole)

    def _entry_by_entry(
        self,
        directory: Directory | None,
        staged: Staged,
        folders: dict[bytes, Entry],
        path: Path,
        *,
        whole: bool,
    ) -> Merged:
        grown, root = 0, b""

        def olds() -> Iterator[Entry]:
            nonlocal grown
            for entry in iter(()) if directory is None else directory.entries():
                grown -= bytes_of(entry)
                yield entry

        def news() -> Iterator[Entry]:
            nonlocal grown
            pairs = _side_by_side(olds(), _entries(staged, folders))
            for entry in self._without_removed(pairs, path) if whole else map(_latest, pairs):
                if entry is not None:
                    grown += bytes_of(entry)
                    yield entry

        for root in encode_tree(news(), self.objects.ids):
            self.sink(root)
        return Merged(self.objects.ids.object(root), grown)

    def _subdirectory(
        self, parent: Directory | None, name: bytes, new: Staged, path: Path, *, whole: bool
    ) -> Entry:
        old = None if parent is None else parent.lookup(name)
        base = old if old is not None and old.type is EntryType.DIRECTORY else None
        if old is not None and new.whole and not whole and self.removals is not None:
            self.removals.replaced(self.objects, old, path, by_folder=True)
        inner = self.directory(base.object if base else None, new, path, whole=whole)
        mode, mtime_ns = new.mode, new.mtime_ns
        if mtime_ns is None:
            mode, mtime_ns = (base.mode, base.mtime_ns) if base else (DEFAULT_MODE, self.now_ns)
        size = bytes_of(base) + inner.grown
        return Entry(name, EntryType.DIRECTORY, mode, mtime_ns, size, inner.tree)

    def _without_removed(self, pairs: Iterator["_Pair"], path: Path) -> Iterator[Entry | None]:
        """What a whole directory becomes: old entries that have no new one go."""
        removals = self.removals
        for old, new in pairs:
            if old is None or removals is None:
                yield _latest((old, new))
            elif new is None:
                left, made = removals.without(self.objects, old, (*path, old.name))
                for data in made:
                    self.sink(data)
                yield left
            else:
                by_folder = new.type is EntryType.DIRECTORY
                removals.replaced(self.objects, old, (*path, old.name), by_folder=by_folder)
                yield _latest((old, new))


_Pair = tuple[Entry | None, Entry | None]
"""Old and new entry of one name; one of them may be missing."""


def _few(staged: Staged, directory: Directory) -> bool:
    return FEW * (len(staged.leaves) + len(staged.folders)) < len(directory)


def _changes(directory: Directory, staged: Staged, folders: dict[bytes, Entry]) -> Iterator[Change]:
    """What is new in a directory, sorted by name."""
    for new in _entries(staged, folders):
        old = directory.lookup(new.name)
        if _latest((old, new)) is not old:
            yield new.name, new


def _entries(staged: Staged, folders: dict[bytes, Entry]) -> Iterator[Entry]:
    for name, new in staged.entries():
        yield folders[name] if isinstance(new, Staged) else new


def _side_by_side(olds: Iterator[Entry], news: Iterator[Entry]) -> Iterator[_Pair]:
    """The entries of each name; both are sorted by name."""
    old = next(olds, None)
    for new in news:
        while old is not None and old.name < new.name:
            yield old, None
            old = next(olds, None)
        if old is not None and old.name == new.name:
            yield old, new
            old = next(olds, None)
        else:
            yield None, new
    while old is not None:
        yield old, None
        old = next(olds, None)


def _latest(pair: _Pair) -> Entry | None:
    """The new entry if it says anything new; another mtime alone is no change."""
    old, new = pair
    if old is None or new is None:
        return old or new
    same = (old.type, old.mode, old.size, old.target) == (new.type, new.mode, new.size, new.target)
    return old if same else new
