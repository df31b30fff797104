"""Repositories carried from one store into another: push and pull are this, seen from either end.

The order is an add's: chunks, then objects, all durable before the refs move, last and together.
What the other store has is not sent: commits in the history of its refs, folders that are like
those of a commit's first parent, chunks that its index knows. So a transfer that was killed goes on
where it was: what it had stored is found there.

Both stores are open in one process. The one that sends is read as any reader reads it, without a
lock; the other is written to as by an add, in a session that keeps what is relied on from being
collected.

Memory: what one add takes, three windows of chunks, an id for each commit, and one for each object
of a group of commits.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from ...errors import UsageError, one_failure
from ...ids import ObjectId
from ..add.request import Reading
from ..journal.journal import Journal
from ..lease.reliance import CondemnedError, Reliance
from ..lease.sessions import Session
from ..progress import Progress
from ..refnames import RepoName
from ..store import Store
from .carrying import Carrying
from .counterparts import Counterparts
from .history import lacking
from .landing import Landing
from .planning import Planning
from .renaming import StrangerError
from .report import RefSent, TransferReport, TransferRequest
from .wanted import Judge, Wanted, wanted_refs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _There:
    """Commits of the store that sends whose counterparts are among `commits`."""

    counterparts: Counterparts
    commits: set[ObjectId]

    def __contains__(self, commit: object) -> bool:
        return isinstance(commit, bytes) and self.counterparts.find([commit])[0] in self.commits


class Transfer:
    """One transfer from `source` to `dest`; `counterparts` knows the ids there."""

    def __init__(
        self,
        source: Store,
        dest: Store,
        counterparts: Counterparts,
        request: TransferRequest,
        progress: Progress,
    ) -> None:
        self._source = source
        self._dest = dest
        self._counterparts = counterparts
        self._request = request
        self._progress = progress
        self._judge = Judge(source.objects, dest.objects, dest.refs, counterparts, request)

    async def run(self, *, dry_run: bool = False) -> TransferReport:
        """Carry what is asked for, one repository after the other; what was done.

        ConflictError or ExistsError where a ref may not move, before anything is sent where that
        can be told. SignatureError where nothing may be carried for want of a signature; where some
        refs may not, the report tells of them. KeyNeededError, QuotaError, DataLostError, and what
        backends say.
        """
        started = time.monotonic()
        source, dest = self._source, self._dest
        if source.id == dest.id:
            raise UsageError("both are folders of one store: there is nothing to carry")
        source.members.cipher.require()
        dest.members.cipher.require()
        report = TransferReport(dry_run)
        found, report.refused = await trio.to_thread.run_sync(
            wanted_refs, source.refs, self._request
        )
        with one_failure():
            for repo, refs in found.items():
                await (self._look if dry_run else self._carry)(repo, refs, report)
        report.seconds = time.monotonic() - started
        return report

    async def _look(self, repo: RepoName, refs: Sequence[Wanted], report: TransferReport) -> None:
        """Say what would be done."""
        fates = await trio.to_thread.run_sync(self._judge.before, refs)
        reading = self._reading(refs, Reliance())
        planning = Planning(self._source, reading, self._counterparts)
        landing = self._landing(repo)
        commits = await trio.to_thread.run_sync(self._commits, landing, refs)
        await trio.to_thread.run_sync(planning.count, str(repo), commits, report)
        report.refs += [
            RefSent(each.repo, each.kind, each.ref, fate, head.commit if head else None, None)
            for each, fate, head in fates
        ]

    async def _carry(self, repo: RepoName, refs: Sequence[Wanted], report: TransferReport) -> None:
        async with self._dest.access.in_session("a push or pull") as (journal, session):
            await trio.to_thread.run_sync(self._judge.before, refs)
            reading = self._reading(refs, session.reliance)
            await self._prepare(repo, refs, reading)
            began = self._progress.done
            while True:
                try:
                    done = await self._attempt(repo, refs, reading, (journal, session))
                    if done is not None:
                        break
                except* CondemnedError as again:
                    log.info("sending once more: %s", again.exceptions[0])
                except* StrangerError as stranger:
                    log.info("looking at everything anew: %s", stranger.exceptions[0])
                    await trio.to_thread.run_sync(self._counterparts.forget)
                self._progress.done = began
        report.add(done)

    async def _prepare(self, repo: RepoName, refs: Sequence[Wanted], reading: Reading) -> None:
        """Find out how much it is, and whether that fits."""
        planning, planned = Planning(self._source, reading, self._counterparts), TransferReport()
        landing = self._landing(repo)
        commits = await trio.to_thread.run_sync(self._commits, landing, refs)
        await trio.to_thread.run_sync(planning.count, str(repo), commits, planned)
        self._progress.total += planned.missing
        if self._request.preflight:
            await planning.check_room(planned)

    async def _attempt(
        self,
        repo: RepoName,
        refs: Sequence[Wanted],
        reading: Reading,
        writing: tuple[Journal, Session],
    ) -> TransferReport | None:
        """Send, and move the refs; None where what was relied on is reached no more."""
        done, landing = TransferReport(), self._landing(repo)
        commits = await trio.to_thread.run_sync(self._commits, landing, refs)
        carrying = Carrying(
            self._source, reading, writing[0], self._counterparts, done, self._progress
        )
        await carrying.run(str(repo), commits)
        moved = await landing.move(refs, *writing)
        done.refs = moved or []
        return None if moved is None else done

    def _landing(self, repo: RepoName) -> Landing:
        return Landing(self._dest, self._judge, self._counterparts, repo)

    def _commits(self, landing: Landing, refs: Sequence[Wanted]) -> list[ObjectId]:
        """Commits that are to be sent, parents first."""
        there = _There(self._counterparts, landing.there())
        return lacking(self._source.objects, [each.commit for each in refs], there)

    def _reading(self, refs: Sequence[Wanted], reliance: Reliance) -> Reading:
        """What is written to; its new packs have the scheme that the repository has here, if it has
        one of its own."""
        dest = self._dest
        own = [self._source.objects.commit(each.commit).erasure for each in refs]
        scheme = next((each for each in own if each is not None), dest.scheme)
        return Reading.of(dest.access, dest.refs, dest.objects, dest.scheme, scheme, reliance)
