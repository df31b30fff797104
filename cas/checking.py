"""Checking a store: lost backends first, then every pack, then the journal's copies.

With `repair` it holds the locks that an add holds, and what it makes anew is recorded as an add's
packs are. Without, it writes to nothing but the index.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import trio

from ..errors import one_failure
from ..ids import PackId
from .check import Checker
from .copies import record_name
from .formats.chunktable import Kind
from .index import Index
from .journal import Journal, check_copies
from .members import Member, Members
from .pool import Pool
from .reports import Progress, VerifyReport
from .rerecord import LostRecord, write_anew
from .statistics import Statistics

Recreate = Callable[[Member], Awaitable[Member | None]]
"""Makes a lost backend anew where that is safe, and returns it; None where it is not."""
OpenJournal = Callable[[], AbstractAsyncContextManager[Journal]]
"""Takes the locks of a writer and opens a journal."""

log = logging.getLogger(__name__)


async def no_recreation(_member: Member) -> Member | None:
    """For stores none of whose backends may be made anew."""
    return None


@dataclass(frozen=True, slots=True)
class Checking:
    """What a check needs of a store; `copies` is m+1, the copies of a journal record."""

    index: Index
    pool: Pool
    statistics: Statistics
    copies: int
    open_journal: OpenJournal
    recreate: Recreate

    @property
    def _members(self) -> Members:
        return self.pool.members

    async def run(self, *, repair: bool, progress: Progress) -> VerifyReport:
        """Check everything; with `repair`, make again what is missing or damaged."""
        report = VerifyReport()
        started = time.monotonic()
        with one_failure():
            if not repair:
                await self._check(report, progress, None)
            else:
                async with self.open_journal() as journal:
                    report.replaced = await self._replace_lost()
                    await self._check(report, progress, journal)
        report.down = {member.name: member.down for member in self._members.down()}
        if report.lost:
            lost = {PackId(bytes.fromhex(id_)) for id_ in report.lost}
            report.lost_files = await trio.to_thread.run_sync(self.statistics.files_in, lost)
        report.seconds = time.monotonic() - started
        return report

    async def _check(
        self, report: VerifyReport, progress: Progress, journal: Journal | None
    ) -> None:
        packs = await trio.to_thread.run_sync(lambda: list(self.index.packs()))
        progress.total += sum(pack.shard * pack.n for pack in packs)
        record = None if journal is None else journal.append
        checker = Checker(self.index, self.pool, report, progress, record)
        # Objects first: without them no file can be named, so they are mended first.
        for pack in sorted(packs, key=lambda pack: pack.kind is not Kind.OBJECT):
            await checker.check(pack)
        lost = await check_copies(
            self.index, self._members, self.copies, report, repair=journal is not None
        )
        if lost and journal is not None:
            await self._make_good(lost, report, journal)

    async def _make_good(
        self, lost: list[LostRecord], report: VerifyReport, journal: Journal
    ) -> None:
        """Write anew what records said of which no copy is left, unless one may come back."""
        if self._members.down():
            return
        failed = await write_anew(self.index, self._members, lost, journal.append)
        names = {record_name(writer, seq) for writer, seq in lost}
        if not failed:
            report.problems = [
                replace(problem, repaired=True) if problem.pack in names else problem
                for problem in report.problems
            ]

    async def _replace_lost(self) -> list[str]:
        """Make lost backends anew, unless only their return can save what lies on them."""
        lost = self._members.down()
        if not lost:
            return []
        if not await trio.to_thread.run_sync(self._suffices):
            names = ", ".join(member.name for member in lost)
            log.warning("%s must come back: without them there is not enough to repair from", names)
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
