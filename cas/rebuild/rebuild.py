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

import contextlib
import logging
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import trio

from ...errors import FormatError, IndexDamagedError, ModelFloatError, UnavailableError
from ...ids import BackendId, PackId, StoreId, WriterId
from ..index.index import Index
from ..index.records import LostRecords
from ..journal.slots import (
    PREFIX,
    Slot,
    given_up,
    last_numbers,
    note_given_up,
    write_slot,
)
from ..locks import each_free
from ..packs.members import Members
from ..packs.pool import Pool
from ..progress import Progress
from .draft import Draft
from .exchange import put_in_place, sync_folder
from .foundpacks import read_found
from .inventory import take_inventory
from .journalwalk import Gap, JournalWalk, Listed
from .remirror import fill_gaps, mirror_all
from .scratch import Copy

INDEX: Final = "index"
DRAFT: Final = "index.rebuild"
KEPT: Final = "index.damaged-"
"""What an old index is called, with a number."""
FOOTERS: Final = 64
"""Packs whose footers are looked for together."""
ASKED: Final = 256
"""Records that listings do not show and that are asked for all the same, at most."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RebuildReport:
    """What a rebuild found.

    `missing` names journal records of which no sound copy is left, `damaged_copies` counts copies
    of others. `found_again` are packs that only their shards told of, `maybe_older` refs that lost
    records may have moved, and with `refs_unsure` some may be gone. `lost_packs` are object packs
    that cannot be read, `missing_objects` counts what refs reach and no place has. `kept` is the
    folder of the old index, "" for none, and `dropped` those of earlier ones, which were removed.
    """

    writers: int = 0
    records: int = 0
    packs: int = 0
    chunks: int = 0
    refs: int = 0
    missing: list[str] = field(default_factory=list)
    damaged_copies: int = 0
    found_again: list[str] = field(default_factory=list)
    maybe_older: list[str] = field(default_factory=list)
    refs_unsure: bool = False
    lost_packs: list[str] = field(default_factory=list)
    missing_objects: int = 0
    missing_shards: int = 0
    down: dict[str, str] = field(default_factory=dict)
    kept: str = ""
    dropped: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 all is as it was; 3 records, copies or shards are missing; 4 data is lost."""
        if self.missing_objects:
            return 4
        damaged = self.missing or self.damaged_copies or self.lost_packs or self.missing_shards
        return 3 if damaged else 0


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
        with _old_index(os.path.join(path, INDEX), store) as old:
            rebuild = _Rebuild(draft, members, locks, copies, progress, old, shards)
            await rebuild.run()
        await trio.to_thread.run_sync(draft.finish)
    except BaseException:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(draft.abandon)
        raise
    report = rebuild.report
    report.kept, report.dropped = await trio.to_thread.run_sync(_put_in_place, path)
    await trio.to_thread.run_sync(_give_up_slots, locks, rebuild.known)
    report.seconds = time.monotonic() - started
    return report


@contextlib.contextmanager
def _old_index(path: str, store: StoreId) -> Iterator[Index | None]:
    """The index that is there, where it can be read and is this store's."""
    with contextlib.ExitStack() as stack:
        index: Index | None = None
        try:
            index = stack.enter_context(contextlib.closing(Index.open(path)))
            if index.store != store:
                index = None
        except ModelFloatError as error:
            log.info("%s", error)
            index = None
        yield index


@dataclass(slots=True)
class _Rebuild:
    draft: Draft
    members: Members
    locks: str
    copies: int
    progress: Progress
    old: Index | None
    shards: bool
    report: RebuildReport = field(default_factory=RebuildReport)
    listed: set[BackendId] = field(default_factory=set)
    known: dict[WriterId, int] = field(default_factory=dict)
    """The highest number that anything says a writer has used."""

    async def run(self) -> None:
        self.listed, size = await self._take_inventory()
        self._refuse_too_few()
        self.progress.total = size // max(1, min(self.copies, len(self.members)))
        gaps = await self._read_journals()
        gaps += await trio.to_thread.run_sync(self._cut_short)
        if gaps:
            gaps = await self._look_again(gaps)
        found = gaps
        gaps = await trio.to_thread.run_sync(self._still_open, gaps)
        if gaps:
            if not self.shards:
                self.shards = True
                self.listed, _ = await self._take_inventory()
            await self._find_packs()
            await trio.to_thread.run_sync(self._ask_old)
        await trio.to_thread.run_sync(self._note_gaps, found)
        await trio.to_thread.run_sync(self.draft.settle_packs, self._was_listed)
        await trio.to_thread.run_sync(self.draft.write_chunks)
        lost = await mirror_all(self.draft, Pool(self.members), self._read)
        old = None if self.old is None else self.old.object
        self.report.missing_objects = await trio.to_thread.run_sync(fill_gaps, self.draft, old)
        self._tell(gaps, lost)

    async def _take_inventory(self) -> tuple[set[BackendId], int]:
        return await take_inventory(self.members, self.draft.scratch, shards=self.shards)

    def _was_listed(self, backend: BackendId) -> bool:
        return self.shards and backend in self.listed

    def _refuse_too_few(self) -> None:
        """A record lies on m+1 backends: with m of them away every one is still to be found."""
        away = [member for member in self.members if member.id not in self.listed]
        if len(away) < min(self.copies, len(self.members)):
            return
        names = ", ".join(sorted(member.name for member in away))
        raise UnavailableError(
            f"{names}: too many backends are down, journal records may lie on them alone; bring "
            f"{len(away) - min(self.copies, len(self.members)) + 1} of them back, see "
            "`modelfloat backend ls`"
        )

    # Journals

    async def _read_journals(self) -> list[Gap]:
        walk = JournalWalk(self.members, self.draft.scratch, self.members.store)
        await self._take_all(walk.windows())
        gaps = await self._left(walk)
        gaps += await trio.to_thread.run_sync(self._uncovered_behind, walk.last)
        if walk.unopened and not self.report.records and self.members.cipher.encrypted:
            raise FormatError(
                "no journal record can be opened with this key: it is not this store's; give the "
                "right one"
            )
        self.report.writers = len(walk.last)
        self.report.damaged_copies = walk.damaged
        return gaps

    async def _look_again(self, gaps: list[Gap]) -> list[Gap]:
        """What is missing still where it is asked for once more, by number and by new listings: of
        two that were made one after the other the later one may show what follows on a record that
        is not in the earlier one, and who compacts has deleted what the segment behind it says."""
        scratch, known = self.draft.scratch, dict(self.known)
        for gap in gaps:
            known[gap.writer] = max(gap.last, known.get(gap.writer, 0))
        numbers = ((gap.writer, seq) for gap in gaps for seq in range(gap.first, gap.last + 1))
        rows = [
            Copy(writer, seq, copy, member.id, 0)
            for writer, seq in islice(numbers, ASKED)
            for member in self.members.up()
            for copy in range(self.copies)
        ]
        await trio.to_thread.run_sync(scratch.note_copies, rows)
        self.listed, _ = await self._take_inventory()
        self._refuse_too_few()
        walk = JournalWalk(self.members, scratch, self.members.store)
        await self._take_all(walk.again(gaps, known))
        self._know({writer: self.draft.writer(writer)[0] for writer in self.draft.writers()})
        return await self._left(walk)

    async def _left(self, walk: JournalWalk) -> list[Gap]:
        """What a walk did not find; FormatError where a newer release may have written it."""
        gaps = await trio.to_thread.run_sync(self._uncovered, walk.gaps)
        if gaps and walk.newer is not None:
            raise FormatError(str(walk.newer))
        return gaps

    def _uncovered(self, gaps: list[Gap]) -> list[Gap]:
        """What of the gaps no segment stands for."""
        return [
            replace(gap, first=first, last=last)
            for gap in gaps
            for first, last in self.draft.uncovered(gap.writer, gap.first, gap.last)
        ]

    def _uncovered_behind(self, listed: Mapping[WriterId, int]) -> list[Gap]:
        """What is missing between a writer's last record of its own and the last one that a segment
        stands for."""
        return [
            Gap(writer, first, last, None)
            for writer in self.draft.writers()
            for first, last in self.draft.uncovered(
                writer, listed.get(writer, 0) + 1, self.draft.writer(writer)[0]
            )
        ]

    async def _take_all(self, windows: AsyncIterator[list[Listed]]) -> None:
        """Take over records while the next ones are read."""
        send, receive = trio.open_memory_channel[list[Listed]](1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_all, windows, send)
            async with receive:
                async for window in receive:
                    await trio.to_thread.run_sync(self._take, window)
                    self._read(sum(record.size for record in window))
        await trio.to_thread.run_sync(self.draft.settle_writers)

    def _take(self, window: list[Listed]) -> None:
        seen: set[WriterId] = set()
        for record in window:
            self.draft.take(record.entries, record.time_ns)
            self.report.records += 1
            # The first that comes of a writer is its last, unless what was missing comes later.
            if record.writer not in seen and self.draft.writer(record.writer)[0] < record.seq:
                self.draft.note_writer(record.writer, record.seq, record.digest)
            seen.add(record.writer)

    def _read(self, size: int) -> None:
        self.progress.advance(size, "rebuild-index")

    def _cut_short(self) -> list[Gap]:
        """Records behind the last that was found, as slots, given-up ids and an old index know."""
        for numbers in (last_numbers(self.locks), given_up(self.locks)):
            self._know(numbers)
        try:
            if self.old is not None:
                self._know({writer: self.old.writer(writer)[0] for writer in self.old.writers()})
        except IndexDamagedError as error:
            self._old_fails(error)
        found = {writer: self.draft.writer(writer)[0] for writer in self.draft.writers()}
        gaps = [
            Gap(writer, found.get(writer, 0) + 1, last, None)
            for writer, last in self.known.items()
            if last > found.get(writer, 0)
        ]
        self._know(found)
        return gaps

    def _know(self, numbers: Mapping[WriterId, int]) -> None:
        for writer, number in numbers.items():
            self.known[writer] = max(number, self.known.get(writer, 0))

    def _still_open(self, gaps: list[Gap]) -> list[Gap]:
        """The gaps that an old index does not know to be made good."""
        if self.old is None:
            return gaps
        found = []
        try:
            for gap in gaps:
                numbers = range(gap.first, gap.last + 1)
                if all(self.old.is_made_good(gap.writer, seq) for seq in numbers):
                    self.draft.note_made_good((gap.writer, seq) for seq in numbers)
                else:
                    found.append(gap)
        except IndexDamagedError as error:
            self._old_fails(error)
            return gaps
        return found

    def _note_gaps(self, gaps: list[Gap]) -> None:
        rows = [LostRecords(g.writer, g.first, g.last, self._is_unsure(g)) for g in gaps]
        self.draft.note_gaps(rows)
        self.report.refs_unsure = any(row.open for row in rows)

    def _is_unsure(self, gap: Gap) -> bool:
        """Whether the records of a gap may have made refs that nothing else tells of."""
        if self.old is None:
            return True
        try:
            told = [g for g in self.old.gaps() if g.writer == gap.writer and g.first <= gap.last]
            told = [g for g in told if g.last >= gap.first]
            last = max([self.old.writer(gap.writer)[0], *(g.last for g in told)])
            behind = range(max(gap.first, last + 1), gap.last + 1)
            # What a repair wrote anew, without having known it, had never been acknowledged.
            return any(g.open for g in told) or not all(
                self.old.is_made_good(gap.writer, seq) for seq in behind
            )
        except IndexDamagedError as error:
            self._old_fails(error)
            return True

    def _old_fails(self, error: IndexDamagedError) -> None:
        log.warning("the old index is no help: %s", error)
        self.old = None

    # What lost records said

    async def _find_packs(self) -> None:
        """Take over packs that no record names, from their footers."""
        after: PackId | None = None
        while True:
            unknown, after = await trio.to_thread.run_sync(self.draft.unknown_packs, after, FOOTERS)
            for found in unknown:
                stored = await read_found(self.members, self.members.store, found)
                if stored is not None:
                    await trio.to_thread.run_sync(self.draft.take, [stored], 0)
                    self.report.found_again.append(stored.pack.hex())
            if after is None:
                return

    def _ask_old(self) -> None:
        """Take over ref changes and tombstones that an old index knows."""
        if self.old is None:
            return
        try:
            for change in self.old.reflog():
                self.draft.take([change], 0)
            for pack in self.old.deleted():
                self.draft.note_deleted(pack)
        except IndexDamagedError as error:
            self._old_fails(error)

    def _tell(self, gaps: list[Gap], lost: list[PackId]) -> None:
        report = self.report
        heads = self.draft.refs()
        report.packs = self.draft.pack_count
        report.chunks = self.draft.chunks
        report.refs = len(heads)
        report.missing = [str(gap) for gap in gaps]
        report.lost_packs = [pack.hex() for pack in lost]
        report.missing_shards = self.draft.missing_shards
        report.down = {member.name: member.down for member in self.members.down()}
        if self.old is None:
            report.maybe_older = sorted(
                f"{head.repo}@{head.ref}"
                for head in heads
                if any(gap.before_ns is None or head.time_ns <= gap.before_ns for gap in gaps)
            )


async def _send_all(
    windows: AsyncIterator[list[Listed]], send: trio.MemorySendChannel[list[Listed]]
) -> None:
    async with send:
        async for window in windows:
            await send.send(window)


def _put_in_place(path: str) -> tuple[str, list[str]]:
    """Give the new index its name; the folder that the old one is kept in, "" for none,
    and those of earlier ones, which are removed for it."""
    former = put_in_place(os.path.join(path, DRAFT), os.path.join(path, INDEX))
    Index.forget(os.path.join(path, INDEX))
    if former is None:
        return "", []
    kept = sorted(name for name in os.listdir(path) if _number(name) is not None)
    number = max((_number(name) or 0 for name in kept), default=0) + 1
    os.rename(former, os.path.join(path, f"{KEPT}{number}"))
    sync_folder(path)
    for name in kept:
        shutil.rmtree(os.path.join(path, name), ignore_errors=True)
    return f"{KEPT}{number}", kept


def _number(name: str) -> int | None:
    number = name.removeprefix(KEPT)
    return int(number) if number != name and number.isdecimal() else None


def _give_up_slots(folder: str, known: Mapping[WriterId, int]) -> None:
    """Give up every writer id: what a backend that is away holds of it was not seen.

    Their last numbers are noted, else a later loss of these records would not be noticed.
    """
    noted = given_up(folder)
    news = {writer: last for writer, last in known.items() if last > noted.get(writer, -1)}
    if news:
        note_given_up(folder, news)
    with contextlib.closing(each_free(folder, PREFIX)) as paths:
        for path in paths:
            write_slot(path, Slot.fresh())
