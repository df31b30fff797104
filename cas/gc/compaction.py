"""Old journal records made into segments: few large records in place of many small ones.

The order: the segment's copies durable, read back, then the index, then the copies of the records
that it stands for. A crash leaves records that are there twice, which changes nothing, and the next
compaction deletes those that a segment stands for. `docs/decisions/0034`.

Concurrency: the caller holds the store's lease, so nobody compacts beside us; writers go on.
"""

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from ...ids import WriterId
from ..access import Access
from ..formats.journal import (
    Compacted,
    ListedEntry,
    PackListed,
    ShardPlaced,
    list_entries,
    says_segment,
)
from ..index.index import Index
from ..journal.copies import record_name, sound_copies
from ..journal.journal import Journal
from ..journal.segments import Part, parts_of
from ..lease.lease import Fence
from ..packs.members import Members
from ..rebuild.inventory import list_copies
from ..rebuild.scratch import Scratch
from .loose import Loose, LooseRecords, delete

WHAT: Final = "modelfloat gc"
FOLDER: Final = "compaction.tmp"
"""Where, in the store's folder, notes are kept meanwhile."""
SEGMENT: Final = 8 << 20
"""Bytes of records that one segment stands for, about."""
LEAST: Final = 64
"""Fewer records than that are no trouble to read one by one."""
AT_ONCE: Final = 16
"""Records whose copies are deleted together."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Compacting:
    """What was done: `records` became `segments`."""

    records: int = 0
    segments: int = 0

    def note(self, records: int) -> None:
        """One segment more, of so many records."""
        self.segments += 1
        self.records += records


@dataclass(slots=True)
class _Segment:
    """A segment in the making."""

    parts: list[Part] = field(default_factory=list)
    records: list[Loose] = field(default_factory=list)
    size: int = 0


async def compact(
    access: Access, fence: Fence, since_ns: int, limits: Mapping[WriterId, int]
) -> Compacting:
    """Make segments of records that are older than `since_ns`, nanoseconds since the epoch, and not
    behind their writer's number in `limits`.

    `fence` is called before each step that no other may take beside it. Nothing is done while a
    backend is down, or a record lacks a copy: then what is large may be what is lost next.
    """
    folder = os.path.join(access.path, FOLDER)
    await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
    async with _loose(access, folder, since_ns, limits, fence) as loose:
        if loose is None:
            return Compacting()
        index, members = access.index, access.pool.members
        async with access.writing(WHAT) as journal:
            return await _Compaction(index, members, access.copies, journal, fence).run(loose)


async def plan(access: Access, since_ns: int, limits: Mapping[WriterId, int]) -> Compacting:
    """What `compact` would do, told by listings and little besides: copies that are damaged count,
    and tombstoned packs. Nothing is changed, and nobody need be kept from it."""
    with tempfile.TemporaryDirectory(prefix="modelfloat-") as folder:
        notes = os.path.join(folder, FOLDER)
        async with _loose(access, notes, since_ns, limits, None) as loose:
            return Compacting() if loose is None else await _planned(loose)


async def _planned(loose: LooseRecords) -> Compacting:
    done, records, size = Compacting(), 0, 0
    async for window in loose.planned():
        for copies in window:
            records, size = records + 1, size + copies[0].size
            if size >= SEGMENT:
                done.note(records)
                records, size = 0, 0
    if records >= LEAST:
        done.note(records)
    return done


@contextlib.asynccontextmanager
async def _loose(
    access: Access,
    folder: str,
    since_ns: int,
    limits: Mapping[WriterId, int],
    fence: Fence | None,
) -> AsyncIterator[LooseRecords | None]:
    """What looks for records that may be compacted, None where that is not to be done now; notes
    are kept in `folder` meanwhile."""
    members = access.pool.members
    scratch = await trio.to_thread.run_sync(Scratch, folder)
    try:
        loose = LooseRecords(access.index, members, scratch, access.copies, since_ns, limits, fence)
        yield loose if await _is_due(members, loose) else None
    finally:
        scratch.close()
        await trio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))


async def _is_due(members: Members, loose: LooseRecords) -> bool:
    if members.down():
        return False
    await list_copies(members, loose.scratch)
    if await trio.to_thread.run_sync(loose.count) < LEAST:
        return False
    if name := await trio.to_thread.run_sync(loose.missing):
        log.info("%s lacks a copy: the journal is compacted after a repair", name)
        return False
    return True


class _Compaction:
    def __init__(
        self, index: Index, members: Members, copies: int, journal: Journal, fence: Fence
    ) -> None:
        self._index = index
        self._members = members
        self._copies = copies
        self._journal = journal
        self._fence = fence
        self._done = Compacting()

    async def run(self, loose: LooseRecords) -> Compacting:
        segment = _Segment()
        async for window in loose.windows():
            for record in window:
                await trio.to_thread.run_sync(self._take, segment, record)
                if segment.size >= SEGMENT:
                    await self._write(segment)
                    segment = _Segment()
        if len(segment.records) >= LEAST:
            await self._write(segment)
        return self._done

    def _take(self, segment: _Segment, record: Loose) -> None:
        """Add what a record says; of a segment each of its parts."""
        name = record_name(record.writer, record.seq)
        entries = list_entries(record.data, name, self._members.cipher)
        own = Part(Compacted(record.writer, record.seq, record.time_ns, record.digest))
        if says_segment(record.data):
            parts = [*parts_of(entries), own]
        else:
            own.entries = entries
            parts = [own]
        for part in parts:
            part.entries = [entry for entry in part.entries if self._tells(entry)]
        segment.parts += parts
        segment.records.append(record)
        segment.size += len(record.data)

    def _tells(self, entry: ListedEntry) -> bool:
        """Whether an entry still means something: what is said of a pack that was deleted does not,
        since its tombstone stays."""
        match entry:
            case PackListed() | ShardPlaced():
                return not self._index.is_deleted(entry.pack)
        return True

    async def _write(self, segment: _Segment) -> None:
        """Make a segment durable, then delete the copies of what it stands for."""
        self._fence()
        if not self._done.segments:
            await self._journal.begin_anew()
        entries = [entry for part in segment.parts for entry in (part.of, *part.entries)]
        seq = await self._journal.append_segment(entries)
        writer = self._journal.writer
        _, digest = self._index.writer(writer)
        found = await sound_copies(self._members, self._members.store, writer, seq, self._copies)
        if sum(data.endswith(digest) for data in found) < self._copies:
            log.warning("%s has too few copies: what it says stays", record_name(writer, seq))
            return
        self._done.note(len(segment.records))
        for start in range(0, len(segment.records), AT_ONCE):
            self._fence()
            async with trio.open_nursery() as nursery:
                for record in segment.records[start : start + AT_ONCE]:
                    nursery.start_soon(delete, self._members, record)
