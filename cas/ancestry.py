"""Commits and what comes before them: the one walk of histories where only ids matter.

Synchronous reads of the index's mirror. Memory: an id a commit, some hundred bytes.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from ..ids import ObjectId
from .objects import Objects


def ancestry(objects: Objects, starts: Iterable[ObjectId]) -> Iterator[ObjectId]:
    """Commits and all before them, each once; those that are fewest steps away first."""
    seen: set[ObjectId] = set()
    queue = deque(starts)
    while queue:
        commit = queue.popleft()
        if commit not in seen:
            seen.add(commit)
            yield commit
            queue.extend(objects.commit(commit).parents)


def descends(objects: Objects, commit: ObjectId, ancestor: ObjectId) -> bool:
    """Whether a commit is another one, or comes after it."""
    return any(id_ == ancestor for id_ in ancestry(objects, [commit]))
