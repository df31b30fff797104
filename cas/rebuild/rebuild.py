"""The index made anew from what lies on the backends: `modelfloat rebuild-index`.

It is made beside the old one, which stays in use until the new one is complete and durable and
takes its name in one step. The order: listings; journals, in any order; what is missing of them,
asked for again, as others may write meanwhile; packs whose record is lost, by their footers; places
and tombstones; rows of chunks, sorted; the mirror of objects.

Where records are lost, an old index that can be read still tells which refs changed in them; and
objects that no backend has any more are taken from its mirror.

Concurrency: the caller keeps all writers out. Listings, fetches and decoding run side by side, the
new index is written by one thread at a time.
"""

import os
import time
from typing import Final

import trio

from ...errors import UnavailableError
from ...ids import BackendId, PackId, StoreId
from ..index.records import LostRecords
from ..packs.members import Members
from ..packs.pool import Pool
from ..progress import Progress
from .draft import Draft
from .foundpacks import read_found
from .inventory import take_inventory
from .journals import Journals
from .journalwalk import Gap
from .oldindex import OldIndex, old_index
from .remirror import fill_gaps, mirror_all
from .replacing import DRAFT, INDEX, give_up_slots, replace_index
from .report import RebuildReport

FOOTERS: Final = 64
"""Packs whose footers are looked for together."""


async def rebuild_index(
    path: str,
    store: StoreId,
    members: Members,
    copies: int,
    progress: Progress,
    *,
    shards: bool = True,
) -> RebuildReport:
    """Make the index of the store in the folder `path` anew; the caller holds its locks.

    `copies` is m+1. Without `shards` those are listed only where a record is lost: else they are
    where the journals say. UnavailableError, before anything is changed, where so many backends are
    down that records may lie on them alone.
    """
    started = time.monotonic()
    locks = os.path.join(path, "locks")
    draft = await trio.to_thread.run_sync(Draft, os.path.join(path, DRAFT), store, members.cipher)
    try:
        with old_index(os.path.join(path, INDEX), store) as old:
            rebuild = _Rebuild(draft, members, locks, copies, progress, old, shards)
            await rebuild.run()
        await trio.to_thread.run_sync(draft.finish)
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(draft.abandon)
        raise
    report = rebuild.report
    report.kept, report.dropped = await trio.to_thread.run_sync(replace_index, path)
    await trio.to_thread.run_sync(give_up_slots, locks, rebuild.journals.known)
    report.seconds = time.monotonic() - started
    return report


class _Rebuild:
    def __init__(
        self,
        draft: Draft,
        members: Members,
        locks: str,
        copies: int,
        progress: Progress,
        old: OldIndex,
        shards: bool,
    ) -> None:
        self.report = RebuildReport()
        self.journals = Journals(draft, members, locks, copies, self.report, self._read)
        self._draft = draft
        self._members = members
        self._copies = copies
        self._progress = progress
        self._old = old
        self._shards = shards
        self._listed: set[BackendId] = set()

    async def run(self) -> None:
        self._listed, size = await self._take_inventory()
        self._refuse_too_few()
        self._progress.total = size // max(1, min(self._copies, len(self._members)))
        gaps = await self.journals.read()
        gaps += await trio.to_thread.run_sync(self.journals.cut_short, self._old)
        if gaps:
            gaps = await self._look_again(gaps)
        found = gaps
        gaps = await trio.to_thread.run_sync(self._old.still_open, gaps, self._draft)
        if gaps:
            if not self._shards:
                self._shards = True
                self._listed, _ = await self._take_inventory()
            await self._find_packs()
            await trio.to_thread.run_sync(self._old.tell, self._draft)
        await trio.to_thread.run_sync(self._note_gaps, found)
        await trio.to_thread.run_sync(self._draft.settle_packs, self._was_listed)
        await trio.to_thread.run_sync(self._draft.write_chunks)
        lost = await mirror_all(self._draft, Pool(self._members), self._read)
        self.report.missing_objects = await trio.to_thread.run_sync(
            fill_gaps, self._draft, self._old.object
        )
        self._tell(gaps, lost)

    async def _take_inventory(self) -> tuple[set[BackendId], int]:
        return await take_inventory(self._members, self._draft.scratch, shards=self._shards)

    def _was_listed(self, backend: BackendId) -> bool:
        return self._shards and backend in self._listed

    def _refuse_too_few(self) -> None:
        """A record lies on m+1 backends: with m of them away every one is still to be found."""
        away = [member for member in self._members if member.id not in self._listed]
        if len(away) < min(self._copies, len(self._members)):
            return
        names = ", ".join(sorted(member.name for member in away))
        raise UnavailableError(
            f"{names}: too many backends are down, journal records may lie on them alone; bring "
            f"{len(away) - min(self._copies, len(self._members)) + 1} of them back, see "
            "`modelfloat backend ls`"
        )

    async def _look_again(self, gaps: list[Gap]) -> list[Gap]:
        """What is missing still where it is asked for once more, by number and by new listings: of
        two that were made one after the other the later one may show what follows on a record that
        is not in the earlier one, and who compacts has deleted what the segment behind it says."""
        known = await self.journals.ask_for(gaps)
        self._listed, _ = await self._take_inventory()
        self._refuse_too_few()
        return await self.journals.again(gaps, known)

    def _read(self, size: int) -> None:
        self._progress.advance(size, "rebuild-index")

    def _note_gaps(self, gaps: list[Gap]) -> None:
        rows = [LostRecords(g.writer, g.first, g.last, self._old.is_unsure(g)) for g in gaps]
        self._draft.note_gaps(rows)
        self.report.refs_unsure = any(row.open for row in rows)

    async def _find_packs(self) -> None:
        """Take over packs that no record names, from their footers."""
        after: PackId | None = None
        while True:
            unknown, after = await trio.to_thread.run_sync(
                self._draft.unknown_packs, after, FOOTERS
            )
            for found in unknown:
                stored = await read_found(self._members, self._members.store, found)
                if stored is not None:
                    await trio.to_thread.run_sync(self._draft.take, [stored], 0)
                    self.report.found_again.append(stored.pack.hex())
            if after is None:
                return

    def _tell(self, gaps: list[Gap], lost: list[PackId]) -> None:
        report = self.report
        heads = self._draft.refs()
        report.packs = self._draft.pack_count
        report.chunks = self._draft.chunks
        report.refs = len(heads)
        report.missing = [str(gap) for gap in gaps]
        report.lost_packs = [pack.hex() for pack in lost]
        report.missing_shards = self._draft.missing_shards
        report.down = {member.name: member.down for member in self._members.down()}
        if self._old.object is None:
            report.maybe_older = sorted(
                f"{head.repo}@{head.ref}"
                for head in heads
                if any(gap.before_ns is None or head.time_ns <= gap.before_ns for gap in gaps)
            )
