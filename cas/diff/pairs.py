"""Two trees walked side by side: every file and link that is not in both alike.

Equal subtrees are not looked at. Synchronous reads of the index's mirror; memory grows with the
depth of a tree alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from ..formats.tree import Entry, EntryType
from ..objects import Both, Objects, both_of


@dataclass(frozen=True, slots=True)
class Pair:
    """What two trees have at one path; None where there is nothing. Never a directory."""

    path: bytes
    old: Entry | None
    new: Entry | None


def pairs(objects: Objects, old: Entry, new: Entry) -> Iterator[Pair]:
    """Everything below two directories that differs, or two files that do.

    A file beside a directory is compared as a directory that holds the file alone.
    """
    if EntryType.DIRECTORY not in (old.type, new.type):
        if not _alike(old, new):
            yield Pair(new.name, old, new)
        return
    # A stack in place of recursion: trees nest deeper than the interpreter's calls may.
    stack = [_merged(objects, b"", old, new)]
    while stack:
        pair = next(stack[-1], None)
        if pair is None:
            stack.pop()
            continue
        path, before, after = pair.path, pair.old, pair.new
        folders = [e if e and e.type is EntryType.DIRECTORY else None for e in (before, after)]
        if any(folders):
            stack.append(_merged(objects, path, *folders))
        leaves = [e if e and e.type is not EntryType.DIRECTORY else None for e in (before, after)]
        if any(leaves):
            yield Pair(path, *leaves)


def files(objects: Objects, root: Entry) -> Iterator[Entry]:
    """Every file at and below an entry."""
    stack = [iter([root])]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif entry.type is EntryType.DIRECTORY:
            stack.append(objects.directory(entry.object).entries())
        elif entry.type is EntryType.FILE:
            yield entry


def _merged(objects: Objects, path: bytes, old: Entry | None, new: Entry | None) -> Iterator[Pair]:
    """The entries of two directories, by name; those that are alike left out."""
    for here, there in _both(objects, old, new):
        if here is None or there is None or not _alike(here, there):
            entry = here or there
            name = entry.name if entry else b""
            yield Pair(path + b"/" + name if path else name, here, there)


def _both(objects: Objects, old: Entry | None, new: Entry | None) -> Iterator[Both]:
    """What each has of every name; of two that are not directories, or of one, it alone."""
    if _is_directory(new) and (old is None or _is_directory(old)):
        before = None if old is None else objects.directory(old.object)
        return objects.directory(new.object).changes_from(before)
    if _is_directory(old) and new is None:
        return ((entry, None) for entry in objects.directory(old.object).entries())
    return both_of(_entries(objects, old), _entries(objects, new))


def _entries(objects: Objects, entry: Entry | None) -> Iterator[Entry]:
    if entry is None:
        return iter(())
    if not _is_directory(entry):
        return iter([entry])
    return objects.directory(entry.object).entries()


def _is_directory(entry: Entry | None) -> TypeGuard[Entry]:
    return entry is not None and entry.type is EntryType.DIRECTORY


def _alike(old: Entry, new: Entry) -> bool:
    """Whether there is nothing to look at: a time alone is no difference, nor a folder's mode."""
    same = old.type is new.type and old.target == new.target
    return same and (old.mode == new.mode or old.type is EntryType.DIRECTORY)
