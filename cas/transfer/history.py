"""Which commits the other store lacks.

Memory: an id a commit, some hundred bytes. Synchronous reads of the mirrors: for worker threads.
"""

from collections.abc import Container, Iterable

from ...ids import ObjectId
from ..objects import Objects


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
