"""What the Hugging Face cache calls repositories and commits.

A repository is a folder `models--VENDOR--NAME`, a commit 40 hex digits, as SHA-1 has them. A commit
that `add --from-hf-cache` brought in is the head of a branch that is named by its 40 digits on the
Hub, and every commit of the same tree is known by those: `main`, most of all. Any other is known by
the first 40 of the 64 digits of its id.
"""

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

from ..cas.ancestry import ancestry
from ..cas.objects import Objects
from ..cas.refnames import HUB_VENDOR, RefHead, RepoName
from ..ids import ObjectId, is_name
from .listings import LONGEST_NAME

OLDER: Final = 64
"""Commits that are listed besides the heads of refs. A program that has begun to load a model finds
it listed still when the branch has moved on; every other commit can be named all the same."""

_KIND: Final = "models"
_DIGITS: Final = 40
_NAME: Final = re.compile(rf"[0-9a-f]{{{_DIGITS}}}")


def folder_of(repo: RepoName) -> str | None:
    """A repository's folder; None where that name would be read as another's, or is too long."""
    folder = f"{_KIND}--{repo.vendor}--{repo.name}"
    shown = len(folder.encode()) <= LONGEST_NAME and repository_of(folder) == repo
    return folder if shown else None


def repository_of(folder: str) -> RepoName | None:
    """The repository whose folder has that name; one without a vendor is `HUB_VENDOR`'s."""
    kind, *names = folder.split("--")
    if len(names) == 1:
        names.insert(0, HUB_VENDOR)
    fits = kind == _KIND and len(names) == 2 and all(map(is_name, names))
    return RepoName(*names) if fits else None


def is_commit(name: str) -> bool:
    """Whether `name` has the form of a commit's name."""
    return _NAME.fullmatch(name) is not None


class CommitNames:
    """The names of one repository's commits, while its refs are at `heads`."""

    def __init__(self, objects: Objects, heads: Sequence[RefHead]) -> None:
        self._objects = objects
        self._heads = heads
        self._imported = {head.ref: head.commit for head in _by_time(heads) if is_commit(head.ref)}

    @cached_property
    def _by_tree(self) -> dict[ObjectId, str]:
        """Of several names for one tree it has the one that was imported last."""
        return {self._objects.commit(id_).tree: name for name, id_ in self._imported.items()}

    def of(self, commit: ObjectId) -> str:
        """The name of a commit."""
        own = commit.hex()[:_DIGITS]
        return self._by_tree.get(self._objects.commit(commit).tree, own) if self._by_tree else own

    def recent(self) -> dict[str, ObjectId]:
        """By name, the commits that refs are at, and some older ones."""
        found = dict(self._imported)
        for commit in self._newest():
            found.setdefault(self.of(commit), commit)
        return found

    def _newest(self) -> Iterator[ObjectId]:
        """What the heads are at, then its ancestors, those that are fewest steps away first."""
        heads = dict.fromkeys(head.commit for head in self._heads)
        return islice(ancestry(self._objects, heads), len(heads) + OLDER)


def _by_time(heads: Sequence[RefHead]) -> list[RefHead]:
    return sorted(heads, key=lambda head: head.time_ns)
