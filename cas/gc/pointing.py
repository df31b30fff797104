"""Refs made to point elsewhere by hand: tag, branch, undo.

No object is made. What a ref of the repository reaches is there as long as that is so, which is
looked at when the ref moves. What none reaches any more, as what was removed, stays for a grace
period only: every chunk of it is looked up first, and who deletes elsewhere is told of it as of
what an add relies on.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import trio

from ...errors import ConflictError, ExistsError, NotFoundError, UsageError, one_failure
from ...ids import ObjectId, PackId
from ..access import Access
from ..formats.journal import NO_ID, RefChanged, RefKind
from ..history.moving import RefMove, move_ref
from ..index.index import Index
from ..journal.journal import Journal
from ..lease.reliance import CondemnedError
from ..lease.sessions import Session
from ..objects import Objects
from ..packs.pool import Pool
from ..refnames import RepoName, check_ref_name
from ..refs import Refs
from .needing import Needing, gone

Plan = Callable[[], Sequence[RefMove]]


@dataclass(frozen=True, slots=True)
class Pointing:
    """Moves refs of one store by hand."""

    access: Access
    index: Index
    objects: Objects
    refs: Refs
    pool: Pool

    async def tag(self, repo: RepoName, name: str, rev: str | None) -> list[RefChanged]:
        """Make a tag; ExistsError where there is one of that name."""
        check_ref_name(name, "tag")
        await self._follow()

        def plan() -> list[RefMove]:
            self.refs.check_new(repo, RefKind.TAG, name)
            return [RefMove(repo, RefKind.TAG, name, (), self.refs.resolve(repo, rev))]

        return await self._carry_out("modelfloat tag", plan)

    async def branch(
        self, repo: RepoName, name: str, rev: str | None, *, force: bool = False
    ) -> list[RefChanged]:
        """Make a branch, or move it on to what follows it; several heads become the one of REV.

        ConflictError where the branch has what REV has not, unless `force` or it has several heads.
        ExistsError where it is there and there is no `rev`.
        """
        check_ref_name(name, "branch")
        if not force:  # else nothing is left behind that the caller has not seen
            await self._follow()

        def plan() -> list[RefMove]:
            seen = self.refs.heads_of(repo, RefKind.BRANCH, name)
            if seen and rev is None:
                raise ExistsError(f"{repo} has a branch {name} already; name REV to move it")
            if not seen:
                self.refs.check_new(repo, RefKind.BRANCH, name)
            target = self.refs.resolve(repo, rev)
            if len(seen) == 1 and not force and not self.refs.descends(target, seen[0].commit):
                raise ConflictError(
                    f"{repo}@{name} has commits that {rev} has not; --force leaves them behind"
                )
            return [RefMove(repo, RefKind.BRANCH, name, seen, target)]

        return await self._carry_out("modelfloat branch", plan)

    async def undo(self, repo: RepoName, ref: str | None) -> list[RefChanged]:
        """Undo the last change of a repository's refs, with all that changed at once, or that of
        one branch or tag; NotFoundError where none is known, or gc has deleted what was there."""
        return await self._carry_out("modelfloat undo", lambda: self._undone(repo, ref))

    def _undone(self, repo: RepoName, ref: str | None) -> list[RefMove]:
        if ref and ("~" in ref or "^" in ref):
            raise UsageError(
                f"{repo}@{ref} is a commit: undo takes back what changed a branch or tag; "
                "`modelfloat restore` has a branch as it was there"
            )
        standing = (c for c in self.refs.changes(repo, ref) if not self.refs.is_superseded(c))
        last = next(standing, None)
        if last is None:
            named = repo if ref is None else f"{repo}@{ref}"
            raise NotFoundError(
                f"there is nothing to undo of {named}: no change of it is known; "
                "`modelfloat ls -l` shows what is there"
            )
        at_once = self._at_once(last.time_ns)
        if ref is not None:
            mine = (repo.vendor, repo.name, ref)
            at_once = [c for c in at_once if (c.vendor, c.name, c.ref) == mine]
        return [self._back(change) for change in at_once]

    def _at_once(self, time_ns: int) -> list[RefChanged]:
        """The changes of that time that nothing went on from: those of one command."""
        found = self.index.reflog(time_ns)
        same = []
        for change in found:
            if change.time_ns != time_ns:
                break
            if not self.refs.is_superseded(change):
                same.append(change)
        return same

    def _back(self, change: RefChanged) -> RefMove:
        repo = RepoName(change.vendor, change.name)
        head = self.refs.head(repo, change.kind, change.ref)
        if (head is None) != (change.new == NO_ID):
            raise ConflictError(
                f"the last change of {repo}@{change.ref} made several heads one: name the commit, "
                f"`modelfloat branch {repo} {change.ref} COMMIT --force`"
            )
        before = None if change.old == NO_ID else change.old
        if before is not None:
            self.refs.require_shown(repo, before)
        return RefMove(repo, change.kind, change.ref, () if head is None else (head,), before)

    async def _follow(self) -> None:
        """Take over what other sites did up to now: REV means what it means everywhere."""
        await self.access.follower.catch_once(0.0)

    async def _carry_out(self, what: str, plan: Plan) -> list[RefChanged]:
        """Do what is planned; what no ref reaches any more is looked up, and relied on."""
        with one_failure():
            moves = await trio.to_thread.run_sync(self._looked_at, plan)
            lacking = [move for move in moves if move.new is not None and not move.reached]
            async with self._at_work(what, told=bool(lacking)) as (journal, session):
                if session is not None:
                    needs = await trio.to_thread.run_sync(self._needs, lacking)
                    session.reliance.relied |= needs
                try:
                    return await move_ref(self.access, journal, moves, session)
                except* CondemnedError:
                    raise gone(_name(lacking[0])) from None

    @contextlib.asynccontextmanager
    async def _at_work(
        self, what: str, *, told: bool
    ) -> AsyncIterator[tuple[Journal, Session | None]]:
        if told:
            async with self.access.in_session(what) as (journal, session):
                yield journal, session
        else:
            async with self.access.writing(what, told=False) as journal:
                yield journal, None

    def _looked_at(self, plan: Plan) -> list[RefMove]:
        """The moves, with what is reached still told of each."""
        moves = []
        for move in plan():
            reached = move.new is not None and self.refs.reaches(move.repo, move.new)
            moves.append(replace(move, reached=reached))
        return moves

    def _needs(self, moves: Iterable[RefMove]) -> set[PackId]:
        """The packs that these moves' commits need; NotFoundError where anything is gone."""
        needing = Needing(self.index, self.objects, self.pool)
        for move in moves:
            needing.reach(_name(move), [ObjectId(move.new or NO_ID)])
        return needing.packs()


def _name(move: RefMove) -> str:
    return f"{move.repo}@{move.ref}"
