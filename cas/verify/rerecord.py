"""What lost journal records said, written anew: by other records, since their numbers are taken.

When no copy of a record is left the index still has what it said, but nobody who only has the
backends could find it. So all other records are read, and what the index knows and none of them
says is appended: packs with their chunk tables from footers, places, tombstones, ref changes. All
of these may be applied twice. The index then notes that nothing is missing any more for want of
those records.
"""

import logging
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

import trio

from ...ids import PackId, WriterId
from ..formats.journal import Compacted, JournalEntry, PackDeleted, RefChanged, ShardPlaced
from ..index.index import Index
from ..index.records import PackRecord
from ..packs.members import Members
from ..rebuild.foundpacks import Found, read_found
from ..rebuild.inventory import list_copies
from ..rebuild.journalwalk import JournalWalk, Listed
from ..rebuild.scratch import Scratch
from ..refnames import RefHead

FOLDER: Final = "rerecord.tmp"
"""Where, in the store's folder, notes are kept meanwhile."""
GROUP: Final = 8
"""Packs that one record stores."""
BATCH: Final = 1000
"""Tombstones, changes or places in one record."""

log = logging.getLogger(__name__)

Record = Callable[[Sequence[JournalEntry]], Awaitable[None]]
"""Appends entries to the journal."""
LostRecord = tuple[WriterId, int]
"""A record of which no sound copy is left: writer, number."""


async def write_anew(
    index: Index, members: Members, lost: Sequence[LostRecord], record: Record
) -> list[PackId]:
    """Append what only `lost` records said; the packs for which that failed.

    `record` appends to the journal. Unless a pack failed, the lost records are noted as made good
    (`Index.is_made_good`). Every backend must be up: else a record may not be lost at all.
    """
    folder = os.path.join(os.path.dirname(index.path), FOLDER)
    shutil.rmtree(folder, ignore_errors=True)
    scratch = await trio.to_thread.run_sync(Scratch, folder)
    try:
        await list_copies(members, scratch)
        walk = JournalWalk(members, scratch, members.store)
        async for window in walk.windows():
            await trio.to_thread.run_sync(_note, scratch, window)
        difference = _Difference(index, members, scratch, record)
        await difference.append()
    finally:
        scratch.close()
        shutil.rmtree(folder, ignore_errors=True)
    if not difference.failed:
        await index.write(index.note_made_good, lost)
    return difference.failed


def _note(scratch: Scratch, window: list[Listed]) -> None:
    for record in window:
        scratch.note_said(record.entries)
        when = record.time_ns
        for entry in record.entries:
            match entry:
                case Compacted():
                    when = entry.time_ns
                case ShardPlaced():
                    scratch.note_placed(entry, when)


class _Difference:
    """What the index knows and the scratch, where the journals' entries are noted, does not."""

    def __init__(self, index: Index, members: Members, scratch: Scratch, record: Record) -> None:
        self._index = index
        self._members = members
        self._scratch = scratch
        self._record = record
        self.failed: list[PackId] = []

    async def append(self) -> None:
        """Append it all, packs before the ref changes that reach them."""
        async for group in self._packs():
            await self._record(group)
        said = (self._places(), self._tombstones(), self._changes(), self._compacted())
        for entries in said:
            for group in _grouped(entries):
                await self._record(group)

    async def _packs(self) -> AsyncIterator[list[JournalEntry]]:
        group: list[JournalEntry] = []
        for pack in self._index.packs():
            if self._scratch.stored(pack.id) is not None:
                continue
            holders = {i: [b] for i, b in enumerate(pack.backends) if any(b)}
            found = Found(pack.id, pack.k, pack.m, holders)
            stored = await read_found(self._members, self._members.store, found)
            if stored is None:
                log.warning("pack %s has no footers to be recorded by", pack.id.hex())
                self.failed.append(pack.id)
                continue
            group.append(stored)
            if len(group) == GROUP:
                yield group
                group = []
        if group:
            yield group

    def _places(self) -> Iterator[JournalEntry]:
        for pack in self._index.packs():
            said = self._scratch.stored(pack.id)
            if said is not None:
                yield from self._moved(pack, said)

    def _moved(self, pack: PackRecord, said: bytes) -> Iterator[JournalEntry]:
        placed = self._scratch.placed(pack.id)
        for index, where in enumerate(pack.backends):
            if any(where) and placed.get(index, said[16 * index : 16 * index + 16]) != where:
                yield ShardPlaced(pack.id, index, where)

    def _tombstones(self) -> Iterator[JournalEntry]:
        for pack in self._index.deleted():
            if not self._scratch.is_deleted(pack):
                yield PackDeleted(pack)

    def _compacted(self) -> Iterator[JournalEntry]:
        """For which records segments stood: nothing is missing for want of those either."""
        for writer, seq, digest in self._index.each_compacted():
            if not self._scratch.has_compacted(writer, seq):
                yield Compacted(writer, seq, 0, digest)

    def _changes(self) -> Iterator[JournalEntry]:
        """Changes that no record has; a head without its change, from an earlier format's index,
        is confirmed by a change of its own."""
        known: set[bytes] = set()
        for change in self._index.reflog():
            if not self._scratch.has_change(change.id):
                known.add(change.id)
                yield change
        for head in self._index.refs():
            if head.change not in known and not self._scratch.has_change(head.change):
                yield _confirmed(head)


def _confirmed(head: RefHead) -> RefChanged:
    return RefChanged(
        head.kind,
        head.repo.vendor,
        head.repo.name,
        head.ref,
        head.change,
        head.commit,
        head.commit,
        head.time_ns,
    )


def _grouped(entries: Iterable[JournalEntry]) -> Iterator[list[JournalEntry]]:
    group: list[JournalEntry] = []
    for entry in entries:
        group.append(entry)
        if len(group) == BATCH:
            yield group
            group = []
    if group:
        yield group
