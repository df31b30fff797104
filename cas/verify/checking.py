"""Checking a store: lost backends first, then every pack, then the journal's copies.

With `repair` it holds the locks that an add holds, and what it makes anew is recorded as an add's
packs are. Without, it writes to nothing but the index.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import trio

from ...erasure.scheme import Scheme
from ...errors import BackendError, one_failure
from ...ids import PackNumber
from ..index.index import Index
from ..journal.completeness import missed
from ..journal.copies import record_name
from ..journal.journal import Journal
from ..lease.others import knows_others
from ..objects import Objects
from ..packs.anew import Recreate, Remark
from ..packs.members import Members
from ..packs.pool import Pool
from ..progress import Progress
from ..read.refetch import Refetch
from ..refs import Refs
from .allpacks import AHEAD, REPAIRED, check_packs, records
from .check import Checker, Mending
from .checkorder import VerifyRequest, reached, select
from .completing import complete
from .copycheck import check_copies
from .keyringcheck import check_keyrings
from .needs import Needs
from .ownership import is_plainly_ours
from .reach import Reach, Reached
from .refetching import Refetcher
from .repair import Repairer
from .report import Problem, VerifyReport
from .rerecord import LostRecord, write_anew
from .rescue import Rescuer
from .scrublog import ScrubLog
from .throttle import Throttle

OpenJournal = Callable[[], AbstractAsyncContextManager[Journal]]
"""Takes the locks of a writer and opens a journal."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checking:
    """What a check needs of a store; `scheme` is that of new packs, `locks` the locks' folder."""

    index: Index
    pool: Pool
    objects: Objects
    refs: Refs
    scheme: Scheme
    locks: str
    scrubs: ScrubLog
    open_journal: OpenJournal
    recreate: Recreate
    remark: Remark
    follow: Callable[[], Awaitable[None]]
    refetch: Refetch | None = None

    @property
    def _members(self) -> Members:
        return self.pool.members

    async def run(self, request: VerifyRequest, progress: Progress) -> VerifyReport:
        """Check what is asked for; with a repair, make again what is missing or damaged."""
        report = VerifyReport()
        started, began_ns = time.monotonic(), time.time_ns()
        with one_failure():
            if not request.repair:
                await self._check(request, report, progress, None)
            else:
                async with self.open_journal() as journal:
                    await self._mark_anew(report)
                    report.replaced = await self._replace_lost()
                    await self._check(request, report, progress, journal)
        down = self._members.down()
        report.down = {member.name: member.down for member in down}
        report.refused = [member.name for member in down if member.refuses]
        report.seconds = time.monotonic() - started
        if request.address is None and not self.index.read_only:
            ended_ns = time.time_ns()
            await trio.to_thread.run_sync(self.scrubs.note, report, began_ns, ended_ns)
        return report

    async def mend(self, packs: Sequence[PackNumber], open_journal: OpenJournal) -> VerifyReport:
        """Check and mend some packs, one after the other, with the locks of a writer."""
        report, throttle = VerifyReport(), Throttle(None)
        with one_failure():
            async with open_journal() as journal:
                mending = self._mending(journal, throttle)
                checker = Checker(self.index, self.pool, report, Progress(), throttle, mending)
                await check_packs(self.index, checker, records(self.index, packs), 1)
        return report

    async def complete(self, journal: Journal) -> int:
        """Make shards that no backend took when their pack was stored; how many packs are whole
        now. What goes wrong is in the log only: `verify` tells of it."""
        throttle = Throttle(None)
        mending = self._mending(journal, throttle)
        checker = Checker(self.index, self.pool, VerifyReport(), Progress(), throttle, mending)
        try:
            return await complete(self.index, self.pool, checker.check)
        finally:
            with trio.CancelScope(shield=True):
                await checker.finish()

    async def _check(
        self,
        request: VerifyRequest,
        report: VerifyReport,
        progress: Progress,
        journal: Journal | None,
    ) -> None:
        if request.journal:
            await self._check_state(report, journal)
            await self._check_keyrings(report, repair=journal is not None)
        throttle = Throttle(request.rate)
        mending = None if journal is None else self._mending(journal, throttle)
        checker = Checker(self.index, self.pool, report, progress, throttle, mending)
        await self._check_packs(request, checker, progress)
        if request.everything:
            await checker.places.check_all()
        if request.journal:
            await self._check_journal(report, journal)
        report.locked = self._members.cipher.locked
        # Without the key nothing can be stored again, for that takes a pack of its own.
        rescuer = None if mending is None or report.locked else mending.rescuer
        needs = Needs(
            self.index,
            self.objects,
            checker.verdicts,
            report,
            rescuer,
            None if rescuer is None else self._refetcher(rescuer, throttle),
        )
        await needs.look(self._reached(request, checker))
        needs.settle()
        report.bytes_written = 0 if mending is None else mending.repairer.written

    def _refetcher(self, rescuer: Rescuer, throttle: Throttle) -> Refetcher | None:
        if self.refetch is None:
            return None
        return Refetcher(self.objects, self.refetch, rescuer, throttle)

    async def _check_state(self, report: VerifyReport, journal: Journal | None) -> None:
        """Whether the index is of an earlier state than the journals, as after a restore."""
        behind = await missed(self.locks, self.index, self._members)
        shared = await trio.to_thread.run_sync(knows_others, self.locks)
        if behind and shared:
            # Other sites may have gone on since this one looked: what a look brings was no damage.
            await self.follow()
            again = await missed(self.locks, self.index, self._members)
            behind = [name for name in behind if name in again]
        left = behind
        if behind and journal is not None:
            await journal.take_over()
            left = await missed(self.locks, self.index, self._members)
        for name in behind:
            problem = "the index is of an earlier state; see `modelfloat rebuild-index`"
            repaired = name not in left
            report.problems.append(Problem(name, 0, "", problem, repaired, kind="journal record"))

    async def _check_keyrings(self, report: VerifyReport, *, repair: bool) -> None:
        cipher = self._members.cipher
        if cipher.encrypted:
            folder = str(trio.Path(self.locks).parent)
            await check_keyrings(self._members, folder, cipher.keys, report, repair=repair)

    async def _check_journal(self, report: VerifyReport, journal: Journal | None) -> None:
        copies = self.scheme.m + 1
        keep = None if journal is None else journal.keep
        lost = await check_copies(self.index, self._members, copies, report, keep)
        if lost and journal is not None:
            await self._make_good(lost, report, journal)

    async def _make_good(
        self, lost: list[LostRecord], report: VerifyReport, journal: Journal
    ) -> None:
        """Write anew what records said of which no copy is left, unless one may come back."""
        if self._members.down() or self._members.cipher.locked:
            return
        failed = await write_anew(self.index, self._members, lost, journal.append)
        names = {record_name(writer, seq) for writer, seq in lost}
        if not failed:
            report.problems = [
                replace(problem, repaired=True) if problem.pack in names else problem
                for problem in report.problems
            ]

    def _mending(self, journal: Journal, throttle: Throttle) -> Mending:
        return Mending(
            Repairer(self.index, self.pool, journal, throttle),
            Rescuer(self.index, self.pool, journal, self.scheme),
        )

    async def _check_packs(
        self, request: VerifyRequest, checker: Checker, progress: Progress
    ) -> None:
        selection = await trio.to_thread.run_sync(
            select, self.index, self.objects, self.refs, request, self._members.is_up
        )
        progress.total += selection.size
        workers = REPAIRED if request.repair else AHEAD
        await check_packs(self.index, checker, records(self.index, selection.numbers), workers)

    def _reached(self, request: VerifyRequest, checker: Checker) -> Iterator[Reached]:
        """What to look up: everything, unless little was asked for and nothing found lost."""
        if request.everything or checker.verdicts.lost:
            return Reach(self.index, self.objects).everything()
        if request.address is not None:
            return reached(self.index, self.objects, self.refs, request.address)
        return iter(())

    async def _mark_anew(self, report: VerifyReport) -> None:
        """Give backends that are plainly ours a marker again where it is damaged or gone."""
        for member in self._members.down():
            if not await is_plainly_ours(self.index, self.pool, member):
                continue
            problem = "damaged or missing; all its shards are there"
            try:
                await self.remark(member)
                await self._members.look_at(member)
            except BackendError as error:
                problem = f"{problem}; cannot be written: {error}"
            repaired = not member.down
            report.note(Problem("", 0, member.name, problem, repaired, "marker"))

    async def _replace_lost(self) -> list[str]:
        """Make lost backends anew, unless only their return can save what lies on them."""
        lost = self._members.down()
        if not lost:
            return []
        if not await trio.to_thread.run_sync(self._suffices):
            names = ", ".join(member.name for member in lost)
            log.warning(
                "there is not enough to repair from without %s: bring back what can be", names
            )
            return []
        replaced = []
        for member in lost:
            new = await self.recreate(member)
            if new is not None:
                # That it counts as down was warned of, and the report tells of this.
                log.info("backend %s is made anew", member.name)
                self._members.replace(member.id, new)
                replaced.append(member.name)
        return replaced

    def _suffices(self) -> bool:
        """Whether every pack has k shards on backends that are up, as far as is known."""
        return all(
            sum(self._members.is_up(backend) for backend in pack.backends) >= pack.k
            for pack in self.index.packs()
        )
