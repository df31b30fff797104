"""Refs: names that point at commits, and what a REV means.

Synchronous reads of the index, small transactions each. Refs change through the journal only
(`cas.add.writer`).
"""

import re
from typing import Final

from ..errors import ConflictError, ExistsError, NotFoundError, UsageError
from ..ids import ObjectId
from .formats.journal import RefKind
from .index.index import Index
from .objects import Objects
from .refnames import DEFAULT_BRANCH, RefHead, RepoName

_HEX: Final = re.compile(r"[0-9a-f]{4,64}")
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
        if _HEX.fullmatch(ref) and self._by_prefix(self.heads(repo), ref):
            raise ExistsError(f"{repo}@{ref} is a commit; choose a name that is no commit's")

    def resolve(self, repo: RepoName, rev: str | None = None) -> ObjectId:
        """The commit that REV means: a branch, tag, commit prefix, or one of these and `~n`."""
        base, tilde, steps = (rev or DEFAULT_BRANCH).partition("~")
        if tilde and not re.fullmatch(r"[0-9]{0,18}", steps):
            raise UsageError(f"{rev!r} is no revision: a number must follow '~'")
        commit = self._resolve_base(repo, base)
        for _ in range(int(steps or 1) if tilde else 0):
            parents = self._objects.commit(commit).parents
            if not parents:
                raise NotFoundError(f"{repo}@{rev}: history is shorter than that")
            commit = parents[0]
        return commit

    def _resolve_base(self, repo: RepoName, base: str) -> ObjectId:
        for kind in RefKind:
            head = self.head(repo, kind, base)
            if head is not None:
                return head.commit
        heads = self.heads(repo)
        if not heads:
            raise NotFoundError(f"there is no repository {repo}; `modelfloat ls` shows what is")
        found = self._by_prefix(heads, base) if _HEX.fullmatch(base) else set()
        if len(found) == 1:
            return found.pop()
        if found:
            raise NotFoundError(f"{repo}@{base} means {len(found)} commits: give more digits")
        known = ", ".join(sorted({h.ref for h in heads})[:8])
        raise NotFoundError(f"{repo} has no branch, tag or commit {base!r}; it has {known}")

    def _by_prefix(self, heads: list[RefHead], prefix: str) -> set[ObjectId]:
        found: set[ObjectId] = set()
        seen: set[ObjectId] = set()
        queue = [head.commit for head in heads]
        while queue and len(seen) < _SEARCH_LIMIT:
            commit = queue.pop()
            if commit in seen:
                continue
            seen.add(commit)
            if commit.hex().startswith(prefix):
                found.add(commit)
            queue.extend(self._objects.commit(commit).parents)
        return found
