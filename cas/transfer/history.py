"""Which commits the other store lacks, and whether one commit descends from another.

Memory: an id a commit, some hundred bytes. Synchronous reads of the mirrors: for worker threads.
"""

from collections.abc import Container, Iterable

from ...ids import ObjectId
from ..objects import Objects


def ancestry(objects: Objects, roots: Iterable[ObjectId]) -> set[ObjectId]:
    """Commits and all before them."""
    found: set[ObjectId] = set()
    queue = list(roots)
    while queue:
        commit = queue.pop()
        if commit not in found:
            found.add(commit)
            queue += objects.commit(commit).parents
    return found


def lacking(
    objects: Objects, roots: Iterable[ObjectId], there: Container[ObjectId]
) -> list[ObjectId]:
    """Commits and all before them but those that are `there`, with what is before these; each
    behind its parents."""
    ordered: list[ObjectId] = []
    seen: set[ObjectId] = set()
    # A commit stands twice on the stack: to look at its parents, and, behind them, to be listed.
    stack = [(root, False) for root in roots]
    while stack:
        commit, done = stack.pop()
        if done:
            ordered.append(commit)
        elif commit not in seen and commit not in there:
            seen.add(commit)
            stack.append((commit, True))
            stack += ((parent, False) for parent in objects.commit(commit).parents)
    return ordered


def descends(objects: Objects, commit: ObjectId, from_: ObjectId) -> bool:
    """Whether `commit` is `from_` or has it in its history."""
    seen: set[ObjectId] = set()
    queue = [commit]
    while queue:
        this = queue.pop()
        if this == from_:
            return True
        if this not in seen:
            seen.add(this)
            queue += objects.commit(this).parents
    return False
