"""Packs of one scheme copied into packs of another: what refs reach of them, verified on the way.

New packs go through the journal as an add's do. The old ones are left to `gc`: what the new packs
hold is needed there only, since they protect as much and are newer. So a second run finds nothing
to do, and one that was interrupted goes on where it was. Packs with more parity than is asked for
stay: gc would keep them and delete the new ones.

Memory: a bit a place, and what one add takes.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio
import trio.from_thread

from ...erasure.scheme import Scheme
from ...errors import BusyError, UnavailableError, one_failure
from ..access import Access
from ..index.records import PackRecord
from ..locks import locked
from ..objects import Objects
from ..packs.survival import Layouts, layouts_of, survival
from ..progress import Progress
from ..refnames import RepoName
from .marking import Marking
from .marks import Marks
from .rewriting import Rewriter, Victim
from .standing import Standing

WHAT: Final = "modelfloat restripe"
BATCH: Final = 16
"""Packs that are copied between two looks at the backends."""


@dataclass(slots=True)
class RestripeReport:
    """What was copied: `packs` with `bytes` that are needed of them, into `made` packs of `written`
    bytes with parity. `stronger` packs have more parity than was asked for and stay, `skipped` ones
    are damaged."""

    dry_run: bool
    packs: int = 0
    bytes: int = 0
    made: int = 0
    written: int = 0
    stronger: int = 0
    skipped: int = 0
    seconds: float = 0.0


class Restriping:
    """Copies what the refs of a store, or of one repository, reach into packs of `wanted`."""

    def __init__(self, access: Access, objects: Objects, wanted: Scheme) -> None:
        self._access = access
        self._index = access.index
        self._pool = access.pool
        self._objects = objects
        self._wanted = wanted
        self._force = False

    async def run(
        self, repo: RepoName | None, progress: Progress, *, dry_run: bool, force: bool = False
    ) -> RestripeReport:
        """Copy what is to be copied. UnavailableError while a backend is down: what is made then
        would survive less. BusyError where it would with all of them, unless `force`."""
        self._force = force
        started, report = time.monotonic(), RestripeReport(dry_run)
        with one_failure():
            if dry_run:
                await trio.to_thread.run_sync(self._plan, repo, report)
            else:
                await trio.Path(self._access.lock("")).mkdir(exist_ok=True)
                async with locked(self._access.lock("gc"), wait=self._access.wait, what=WHAT):
                    await self._copy_all(repo, report, progress)
        report.seconds = time.monotonic() - started
        return report

    async def _copy_all(
        self, repo: RepoName | None, report: RestripeReport, progress: Progress
    ) -> None:
        planned = RestripeReport(dry_run=True)
        victims = await trio.to_thread.run_sync(self._plan, repo, planned)
        progress.total += planned.bytes
        report.stronger = planned.stronger
        for start in range(0, len(victims), BATCH):
            self._refuse_down()
            await self._copy(victims[start : start + BATCH], report, progress)

    async def _copy(
        self, rows: Sequence[tuple[int, int]], report: RestripeReport, progress: Progress
    ) -> None:
        async with self._access.writing(WHAT) as journal:
            victims = [v for row, _ in rows if (v := self._victim(row)) is not None]
            rewriter = Rewriter(
                self._index.store, self._wanted, self._index, self._pool, journal, always=True
            )
            result = await rewriter.run(victims)
        done = {copied.victim.row for copied in result.done}
        report.packs += len(done)
        report.skipped += len(victims) - len(done)
        report.made += result.packs
        report.written += result.written
        for row, size in rows:
            report.bytes += size if row in done else 0
            progress.advance(size)

    def _plan(self, repo: RepoName | None, report: RestripeReport) -> list[tuple[int, int]]:
        """Rows of packs to copy, and the bytes of each that are needed; counted in `report`."""
        self._marks = Marks(self._index, Standing(self._pool).ranking)
        marking = Marking(self._index, self._objects, self._marks, trio.from_thread.check_cancelled)
        marking.reach(head.commit for head in self._index.refs(repo))
        found, old = [], []
        for row, pack in self._needed():
            if pack.m > self._wanted.m:
                report.stronger += 1
            elif pack.m < self._wanted.m or pack.k not in (1, self._wanted.k):
                size = int(self._marks.bytes[row])
                found.append((row, size))
                old.append(pack)
                report.packs += 1
                report.bytes += size
        if old and not self._force:
            self._refuse_less(layouts_of(old))
        return found

    def _needed(self) -> Iterator[tuple[int, PackRecord]]:
        for row in range(self._marks.known):
            pack = self._index.pack(self._marks.number(row)) if self._marks.places[row] else None
            if pack is not None:
                yield row, pack

    def _victim(self, row: int) -> Victim | None:
        pack = self._index.pack(self._marks.number(row))
        return None if pack is None else Victim(row, pack, self._marks.slots(row))

    def _refuse_less(self, old: Layouts) -> None:
        """BusyError where packs of the new scheme survive less here than those that they replace:
        as many may be lost of more shards, which lie closer together."""
        members = [member.candidate for member in self._pool.members]
        up = {member.id for member in self._pool.members.up()}
        now = survival(self._wanted, members, up, old)
        then = survival(self._wanted, members, up, {})
        if then.is_less_than(now):
            raise BusyError(
                f"as {self._wanted} less would survive (now: {now.text}; then: {then.text}); add "
                "backends first, or say --force"
            )

    def _refuse_down(self) -> None:
        down = ", ".join(sorted(member.name for member in self._pool.members.down()))
        if down:
            raise UnavailableError(
                f"with {down} down new packs would survive less: nothing more is restriped; bring "
                "it back, or take it off the list with `modelfloat backend rm`"
            )
