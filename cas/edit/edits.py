"""An edit as a value: what it makes of a branch's tree, and what came of it."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from ...ids import ObjectId
from ..formats.tree import Entry
from ..refnames import DEFAULT_BRANCH, Address, RepoName
from .treechange import TreeChange


@dataclass(frozen=True, slots=True)
class Taken:
    """What an edit takes from a commit, called `name`: one of its objects, with all beneath."""

    name: str
    commit: ObjectId
    object: ObjectId


@dataclass(frozen=True, slots=True)
class Edited:
    """What an edit makes of a tree: a `change` of it, or another `tree` in its place.

    `message` is what the commit says unless it is told. `path` is what was edited, and `files`
    files and links of `size` bytes are concerned. `seen` is what lay at the paths that it is about:
    where others have changed that meanwhile, it is not what was asked for any more. `taken` is what
    comes from a commit that the branch need not reach.
    """

    message: str
    change: TreeChange | None = None
    tree: ObjectId | None = None
    path: str = ""
    files: int = 0
    size: int = 0
    seen: tuple[Entry | None, ...] = ()
    taken: Taken | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch that is to be edited, by its name."""

    repo: RepoName
    name: str

    @classmethod
    def of(cls, address: Address) -> "Branch":
        """The branch that an edit of what `address` names moves: `main` unless it is named."""
        return cls(address.repo, DEFAULT_BRANCH if address.rev is None else address.rev)


class Edit(Protocol):
    """One way of editing a branch. `what` names it for those who wait for a lock.

    `of` is called in a worker thread, again where the branch has moved meanwhile; it may raise
    what the command is to fail with.
    """

    what: ClassVar[str]

    def of(self, tree: ObjectId) -> Edited:
        """What it makes of a tree."""
        ...


@dataclass(frozen=True, slots=True)
class EditReport:
    """What an edit did. `commit` is the branch's new one, which follows `before`; None where
    nothing would have changed. `path` is what was edited, "" for everything; `files` files and
    links of `size` bytes were concerned.
    """

    repo: RepoName
    branch: str
    before: ObjectId
    commit: ObjectId | None
    path: str
    files: int
    size: int
