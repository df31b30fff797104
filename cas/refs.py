"""Refs: names that point at commits, and what a REV means.

Synchronous reads of the index, small transactions each. Refs change through the journal only
(`cas.add.writer`).
"""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from ..errors import ConflictError, ExistsError, NotFoundError, SignatureError, UsageError
from ..ids import ObjectId
from .ancestry import ancestry, descends
from .formats.journal import RefChanged, RefKind
from .index.index import Index
from .missing import known, no_repository
from .objects import Objects
from .refnames import DEFAULT_BRANCH, RefHead, RefKey, RepoName

_HEX: Final = re.compile(r"[0-9a-f]{4,64}")
_STEP: Final = re.compile(r"([~^])([0-9]{0,18})")
"""As git has them: `~2` is the first parent's first parent, `^2` the second parent."""
_SEARCH_LIMIT: Final = 100_000
"""Most commits that a commit prefix is looked for in."""


class Refs:
    """Reads refs and resolves revisions."""

    def __init__(self, index: Index, objects: Objects) -> None:
        self._index = index
        self._objects = objects

    def vendors(self) -> list[str]:
        """All vendors, sorted."""
        return sorted({head.repo.vendor for head in self._index.refs()})

    def repositories(self, vendor: str | None = None) -> list[RepoName]:
        """All repositories, or those of one vendor, sorted."""
        heads = self._index.refs()
        return sorted({h.repo for h in heads if vendor is None or h.repo.vendor == vendor})

    def heads(self, repo: RepoName) -> list[RefHead]:
        """All heads of a repository's branches and tags."""
        return self._index.refs(repo)

    def heads_of(self, repo: RepoName, kind: RefKind, ref: str) -> tuple[RefHead, ...]:
        """All heads of one ref: none, one, or several after updates that met."""
        return tuple(self._index.ref(repo, kind, ref))

    def last_change_ns(self) -> int:
        """The latest time of any ref change, ns since the epoch; 0 where none is known."""
        return self._index.last_change_ns()

    def head(self, repo: RepoName, kind: RefKind, ref: str) -> RefHead | None:
        """The head of a ref; ConflictError where concurrent updates left several."""
        heads = self.heads_of(repo, kind, ref)
        if len(heads) > 1:
            commits = ", ".join(h.commit.hex()[:12] for h in heads)
            raise ConflictError(
                f"{repo}@{ref} has several heads ({commits}); name one of them, or make it one: "
                f"`modelfloat branch {repo} {ref} COMMIT`"
            )
        return heads[0] if heads else None

    def check_new(self, repo: RepoName, kind: RefKind, ref: str) -> None:
        """ExistsError where a new branch or tag would hide what its name means already."""
        other = RefKind.TAG if kind is RefKind.BRANCH else RefKind.BRANCH
        if self.head(repo, other, ref) is not None:
            raise ExistsError(f"{repo} has a {other.name.lower()} {ref}; choose another name")
        digits = ref.lower()
        if _HEX.fullmatch(digits) and self._by_prefix(self.heads(repo), digits):
            raise ExistsError(f"{repo}@{ref} is a commit; choose a name that is no commit's")

    def resolve(self, repo: RepoName, rev: str | None = None) -> ObjectId:
        """The commit that REV means: a branch, a tag, a commit prefix, or `~n`, `^n` of one."""
        base, steps = _steps(rev or DEFAULT_BRANCH)
        commit = self._resolve_base(repo, base)
        for parent, count in steps:
            for _ in range(count):
                parents = self._objects.commit(commit).parents
                if parent >= len(parents):
                    raise NotFoundError(f"{repo}@{rev}: history is shorter than that")
                commit = parents[parent]
        return commit

    def starts(self, repo: RepoName, rev: str | None = None) -> list[ObjectId]:
        """The commits that a log of REV begins with: of a branch with several heads all of them."""
        heads = self.heads_of(repo, RefKind.BRANCH, rev or DEFAULT_BRANCH)
        if len(heads) > 1:
            return [head.commit for head in heads]
        return [self.resolve(repo, rev)]

    def reaches(self, repo: RepoName, commit: ObjectId) -> bool:
        """Whether a branch or tag of the repository reaches a commit."""
        starts = (head.commit for head in self.heads(repo))
        return any(id_ == commit for id_ in ancestry(self._objects, starts))

    def refusals(self, asked: Callable[[RefKey], bool] = lambda _: True) -> list[SignatureError]:
        """Where signatures are required, what keeps those refs from being shown that are asked
        for."""
        return []

    def require_shown(self, repo: RepoName, commit: ObjectId) -> None:
        """SignatureError where signatures are required, and nobody who is trusted signed that a
        ref of the repository is, was, or comes after this commit."""

    def descends(self, commit: ObjectId, ancestor: ObjectId) -> bool:
        """Whether a commit is another one, or comes after it."""
        return descends(self._objects, commit, ancestor)

    def _resolve_base(self, repo: RepoName, base: str) -> ObjectId:
        for kind in RefKind:
            head = self.head(repo, kind, base)
            if head is not None:
                return head.commit
        heads = self.heads(repo)
        if not heads:
            raise no_repository(repo)
        digits = base.lower() if _HEX.fullmatch(base.lower()) else None
        found = self._by_prefix(heads, digits) if digits else set()
        if not found and digits:
            found = self._left_behind(repo, digits)
        if len(found) == 1:
            return found.pop()
        if found:
            raise NotFoundError(f"{repo}@{base} means {len(found)} commits: give more digits")
        raise NotFoundError(f"{repo} has no branch, tag or commit {base!r}; it has {known(heads)}")

    def _left_behind(self, repo: RepoName, prefix: str) -> set[ObjectId]:
        """Commits of that prefix which refs of the repository pointed at once, and that are there
        still."""
        found: set[ObjectId] = set()
        for change in self.changes(repo):
            for commit in (change.old, change.new):
                if commit.hex().startswith(prefix) and self._index.object(commit) is not None:
                    found.add(commit)
        return found

    def changes(self, repo: RepoName, ref: str | None = None) -> Iterator[RefChanged]:
        """The changes of a repository's refs, or of one name, latest first."""
        for change in self._index.reflog_back():
            mine = (change.vendor, change.name) == (repo.vendor, repo.name)
            if mine and ref in (None, change.ref):
                yield change

    def is_superseded(self, change: RefChanged) -> bool:
        """Whether another change went on from this one."""
        return self._index.is_superseded(change.id)

    def _by_prefix(self, heads: list[RefHead], prefix: str) -> set[ObjectId]:
        starts = (head.commit for head in heads)
        commits = islice(ancestry(self._objects, starts), _SEARCH_LIMIT)
        return {commit for commit in commits if commit.hex().startswith(prefix)}


def _steps(rev: str) -> tuple[str, list[tuple[int, int]]]:
    """What REV begins with, the default branch where that is nothing, and the ways back from there:
    which parent, and how many times."""
    base, *_ = re.split("[~^]", rev, maxsplit=1)
    rest = rev[len(base) :]
    found = _STEP.findall(rest)
    if "".join(sign + number for sign, number in found) != rest:
        raise UsageError(f"{rev!r} is no revision: only '~', '^' and a number may follow a name")
    return base or DEFAULT_BRANCH, [
        (0, int(number or 1)) if sign == "~" else (int(number or 1) - 1, 1)
        for sign, number in found
        if sign == "~" or number != "0"
    ]
