"""Commits in order, newest first, with what each changed and how large its tree is.

Synchronous reads of the index's mirror.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ...ids import ObjectId
from ..formats.commit import Commit
from ..objects import Objects
from ..treesize import size_of
from .treechanges import Changes, TreeChanges

Read = Callable[[ObjectId], Commit]
NEAR: Final = 64
"""Commits at hand: each is looked at as a commit, and as its child's parent."""


@dataclass(frozen=True, slots=True)
class Told:
    """A commit: `size` is that of all its files, `changes` what it changed against its first
    parent."""

    id: ObjectId
    commit: Commit
    size: int
    changes: Changes


def history(objects: Objects, starts: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, Commit]]:
    """Commits and all before them, newest first, as far as clocks tell; no commit comes before one
    that follows it on the way that it was found by."""
    return _walk(objects.commit, starts)


def _walk(read: Read, starts: Iterable[ObjectId]) -> Iterator[tuple[ObjectId, Commit]]:
    seen = set(starts)
    frontier = []
    for start in seen:
        commit = read(start)
        frontier.append((-commit.time_ns, start, commit))
    heapq.heapify(frontier)
    while frontier:
        _, id_, commit = heapq.heappop(frontier)
        yield id_, commit
        for parent in commit.parents:
            if parent not in seen:
                seen.add(parent)
                older = read(parent)
                # A clock that was set back puts no commit behind its parent.
                when = -min(older.time_ns, commit.time_ns)
                heapq.heappush(frontier, (when, parent, older))


def told(objects: Objects, starts: Iterable[ObjectId]) -> Iterator[Told]:
    """The same with what there is to say of each. A tree is summed up once: the sizes of those
    before it follow from what changed."""
    compare = TreeChanges(objects)
    read = lru_cache(maxsize=NEAR)(objects.commit)
    sizes: dict[ObjectId, int] = {}
    for id_, commit in _walk(read, starts):
        parent = read(commit.parents[0]).tree if commit.parents else None
        changes = compare.count(parent, commit.tree)
        size = sizes.pop(id_, None)
        if size is None:
            size = size_of(objects, commit.tree)
        if commit.parents:
            sizes.setdefault(commit.parents[0], size - changes.grown)
        yield Told(id_, commit, size, changes)
