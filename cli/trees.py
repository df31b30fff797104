"""What commands ask of commits and trees. Everything is read from the index's mirror."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..cas.formats.commit import Commit
from ..cas.formats.tree import Entry, EntryType
from ..ids import ObjectId

if TYPE_CHECKING:
    from ..cas.objects import Objects


@dataclass(slots=True)
class Changes:
    """Files and links that a commit added, changed and removed."""

    added: int = 0
    changed: int = 0
    removed: int = 0

    def __str__(self) -> str:
        parts = [("+", self.added), ("~", self.changed), ("-", self.removed)]
        return " ".join(f"{sign}{count}" for sign, count in parts if count) or "none"


def size_of(objects: "Objects", tree: ObjectId) -> int:
    """The size of all files of a directory, in bytes."""
    return sum(entry.size for entry in objects.directory(tree).entries())


def count_files(objects: "Objects", tree: ObjectId) -> int:
    """How many files and links a directory holds, at any depth."""
    count, queue = 0, [tree]
    while queue:
        for entry in objects.directory(queue.pop()).entries():
            if entry.type is EntryType.DIRECTORY:
                queue.append(entry.object)
            else:
                count += 1
    return count


def history(objects: "Objects", start: ObjectId) -> Iterator[tuple[ObjectId, Commit]]:
    """A commit and all before it, newest first; no commit comes before one that follows it."""
    commit = objects.commit(start)
    frontier = [(-commit.time_ns, start, commit)]
    seen = {start}
    while frontier:
        _, id_, commit = heapq.heappop(frontier)
        yield id_, commit
        for parent in commit.parents:
            if parent not in seen:
                seen.add(parent)
                older = objects.commit(parent)
                heapq.heappush(frontier, (-older.time_ns, parent, older))


def changes(objects: "Objects", old: ObjectId | None, new: ObjectId) -> Changes:
    """What differs between two trees; equal subtrees are not looked at. `old` None is empty."""
    result = Changes()
    queue: list[tuple[ObjectId | None, ObjectId | None]] = [(old, new)]
    while queue:
        before, after = (_entries(objects, tree) for tree in queue.pop())
        for name in before.keys() | after.keys():
            queue += _compare(before.get(name), after.get(name), result)
    return result


def _entries(objects: "Objects", tree: ObjectId | None) -> dict[bytes, Entry]:
    return {} if tree is None else {e.name: e for e in objects.directory(tree).entries()}


def _compare(
    old: Entry | None, new: Entry | None, result: Changes
) -> list[tuple[ObjectId | None, ObjectId | None]]:
    """Count one name's change; returns the pair of directories that is still to be compared."""
    if old is not None and new is not None and (old.type, old.target) == (new.type, new.target):
        result.changed += old.type is not EntryType.DIRECTORY and old.mode != new.mode
        return []
    before, after = _tree(old), _tree(new)
    was = old is not None and before is None
    is_now = new is not None and after is None
    result.changed += was and is_now
    result.removed += was and not is_now
    result.added += is_now and not was
    return [(before, after)] if before or after else []


def _tree(entry: Entry | None) -> ObjectId | None:
    return entry.object if entry is not None and entry.type is EntryType.DIRECTORY else None
