"""Catching up: journal records that the index has missed, after a crash between the two.

A slot is settled by whoever holds its lock: the records behind the last one that the index knows
are applied, and an id that was not closed in good order is given up for a fresh one. A put that
was given up may still arrive later, so a number that looks unused may be in use. Then nobody
elsewhere need wait for its writer any more: what a crash has left of its session goes.
"""

import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final

import trio

from ...errors import BackendError, DamageError, KeyExistsError, ModelFloatError
from ...ids import ObjectId, StoreId, WriterId
from ..formats.chunktable import Kind
from ..formats.journal import (
    DIGEST_SIZE,
    JournalEntry,
    PackStored,
    Record,
    ShardPlaced,
    decode_head,
    decode_record,
    says_segment,
)
from ..index.index import Index
from ..lease.clock import boottime
from ..lease.sessions import end_session
from ..lease.sites import own_site
from ..locks import each_free, locked
from ..packs.members import Member, Members
from .copies import find_record, last_listed, record_name, store_record
from .lateplaces import LOCK, is_any_late, keep_late, late_places, note_late
from .pace import Pace
from .segments import LARGE, read_entries, read_parts
from .slots import PREFIX, Slot, given_up, note_given_up, read_slot, write_slot

ReadObjects = Callable[[PackStored], Awaitable[dict[ObjectId, bytes]]]

SETTLING: Final = "settling"
"""The lock file of who settles slots."""
_EARLIER: Final = (
    "the index is of an earlier state than the journals: took over what it lacked; if it comes "
    "from a backup, `modelfloat rebuild-index` is sure to find everything"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CatchUp:
    """Settles writer slots. `folder` holds them, `copies` is m+1."""

    folder: str
    store: StoreId
    index: Index
    members: Members
    copies: int
    read_objects: ReadObjects
    whole: dict[WriterId, bytes] = field(default_factory=dict)
    """Of each writer the digest of the record that was read last, where all copies were sound."""
    pace: Pace = field(default_factory=Pace)

    def settling(self) -> AbstractAsyncContextManager[None]:
        """Keep others from settling meanwhile: a slot that somebody holds to settle it looks like
        one whose writer is at work, and would be passed over. It always waits, and whoever has it
        waits for no lock but that of late places, and who has that for none."""
        path = os.path.join(self.folder, SETTLING)
        return locked(path, what="takes over what a writer that crashed has left")

    async def others(self) -> None:
        """Settle every slot that nobody holds; ours is held and left alone. In `settling`.

        An index of an earlier state, from a backup, gets what writers without a slot have done.
        """
        for writer, last in given_up(self.folder).items():
            if self.index.writer(writer)[0] < last:
                await self.apply_missed(writer)
        with contextlib.closing(each_free(self.folder, PREFIX)) as paths:
            for path in paths:
                await self.settle(path)
        await self.place_late()

    async def settle(self, path: str, *, own: bool = False) -> Slot:
        """Bring the index up to date with a slot's writer, whose lock the caller holds.

        The slot that may be used from now on: the same if it was closed in good order. One's `own`
        is looked behind even then: slots may be as old as the index.
        """
        slot = read_slot(path)
        if slot is not None:
            known, _ = self.index.writer(slot.writer)
            doubted = own and await self._may_go_on(slot.writer, known)
            if slot.closed != known or doubted:
                await self.apply_missed(slot.writer)
            last, _ = self.index.writer(slot.writer)
            if slot.closed == last and not doubted:
                return slot
            if slot.closed == known < last:
                log.warning("%s", _EARLIER)
            if slot.closed is not None and slot.closed > last:
                name = record_name(slot.writer, last + 1)
                log.warning("%s is not to be found: what it announced is missing here", name)
            # What the slot announced may be found later, and must not be taken for nothing.
            if last or slot.closed != 0:
                known_last = {slot.writer: max(last, slot.closed or 0)}
                await trio.to_thread.run_sync(note_given_up, self.folder, known_last)
            if slot.closed is None:
                await self._end_session(path, slot.writer)
        slot = Slot.fresh()
        await trio.to_thread.run_sync(write_slot, path, slot)
        return slot

    async def _may_go_on(self, writer: WriterId, last: int) -> bool:
        """Whether any record behind `last` was written, for all that can be told: then no number of
        this writer may be given to another one.

        Its copy is on a backend, or may be on one that cannot be listed. Or it became part of a
        segment, as `last` did then, unless that is too large for one.
        """
        if self.members.down():
            return True
        told: list[tuple[int, int]] = [(0, 0)]
        unknown: list[BackendError] = []

        async def ask(member: Member) -> None:
            try:
                told.append(await last_listed(member, writer))
            except BackendError as error:
                unknown.append(error)

        async with trio.open_nursery() as nursery:
            for member in self.members.up():
                nursery.start_soon(ask, member)
        if unknown:
            log.info("%s; another writer id is taken", unknown[0])
            return True
        highest, size = max(told)
        return highest != last or size >= LARGE

    async def _end_session(self, path: str, writer: WriterId) -> None:
        """End the session of a writer that died, while its slot still says so.

        Where a backend is down it may have more of that writer; and what was at work before this
        machine was started may be at work still, on the one whose disk this is a copy of.
        """
        if not self.members.down() and await trio.to_thread.run_sync(_since_start, path):
            site = await trio.to_thread.run_sync(own_site, self.folder)
            await end_session(self.members, site, writer)

    async def place_late(self) -> None:
        """Places of shards whose pack another writer stored, and was settled later; even where the
        caller is cancelled. Those whose pack is not known yet wait for it."""
        if await trio.to_thread.run_sync(late_places, self.folder):
            with trio.CancelScope(shield=True):
                async with self._late_locked():
                    late = await trio.to_thread.run_sync(late_places, self.folder)
                    left = await trio.to_thread.run_sync(self._lacking, late)
                    unknown = set(left)
                    known = [placed for placed in late if placed not in unknown]
                    if known:
                        await self.index.write(self.index.place, known)
                        await self._keep_late(left)

    async def apply_missed(self, writer: WriterId) -> None:
        """Apply the records of a writer, which is not at work, that follow the last known one."""
        while (data := await self.next_missed(writer)) is not None:
            await self.mend_and_apply(data)

    async def next_missed(self, writer: WriterId) -> bytes | None:
        """The record of a writer that follows the last known one; None where there is none, or it
        is too many for now (`cas.journal.pace`)."""
        last, digest = self.index.writer(writer)
        found = await find_record(self.members, self.store, writer, last + 1, digest, self.copies)
        if found is None:
            return None
        if self.pace.refuses(found, writer):
            return None
        if found.whole:
            self.whole[writer] = found.data[-DIGEST_SIZE:]
        return found.data

    async def mend_and_apply(self, data: bytes) -> None:
        """Apply a record that `next_missed` gave, once all of its copies are there."""
        head = decode_head(data, "a journal record")
        writer, seq, name = head.writer, head.seq, record_name(head.writer, head.seq)
        log.info("applying %s, which the index had missed", name)
        if self.whole.pop(writer, b"") != data[-DIGEST_SIZE:]:
            # A crash may have come between two copies: make sure that all are there.
            try:
                await store_record(self.members, writer, seq, data, self.copies)
            except KeyExistsError as error:
                log.warning("a copy of %s differs (%s); `verify --repair` mends it", name, error)
        await self.apply(data, name)

    async def apply(self, data: bytes, name: str) -> None:
        """Apply a sound record, called `name`, that follows the last known one of its writer."""
        if says_segment(data):
            await self._apply_segment(data, name)
            return
        record = decode_record(data, name, self.members.cipher)
        await self.note_late(record.entries)
        await self.index.write(self.index.apply, record, await self.objects_of(record.entries))

    async def _apply_segment(self, data: bytes, name: str) -> None:
        """Apply what a segment says of records that the index lacks, one after the other: all
        together would change too many of its pages at once."""
        cipher = self.members.cipher
        parts = await trio.to_thread.run_sync(read_parts, data, name, cipher)
        # By time: what several writers did to a ref is seen as it was, one change after the other.
        for part in sorted(parts, key=lambda part: part.of.time_ns):
            if await trio.to_thread.run_sync(self.index.knows, part.of.writer, part.of.seq):
                continue
            entries = await trio.to_thread.run_sync(read_entries, part, name, cipher)
            await self.note_late(entries)
            await self.index.write(self.index.apply_part, entries, await self.objects_of(entries))
        head, said = decode_head(data, name), tuple(part.of for part in parts)
        digest = data[-DIGEST_SIZE:]
        record = Record(
            head.store, head.writer, head.seq, head.previous, head.time_ns, said, digest
        )
        await self.index.write(self.index.apply, record, {})

    async def note_late(self, entries: Iterable[JournalEntry]) -> None:
        """Remember places that come before their packs, before the record counts as applied; and,
        while there are such, all that come later: they are not to be undone by these."""
        placed = [entry for entry in entries if isinstance(entry, ShardPlaced)]
        if placed:
            async with self._late_locked():
                waits = await trio.to_thread.run_sync(is_any_late, self.folder)
                lacking = await trio.to_thread.run_sync(self._lacking, placed)
                if late := placed if waits else lacking:
                    await trio.to_thread.run_sync(note_late, self.folder, late)

    async def _keep_late(self, left: list[ShardPlaced]) -> None:
        try:
            await trio.to_thread.run_sync(keep_late, self.folder, left)
        except ModelFloatError as error:
            # They are applied once more the next time: on a full disk nothing waits for this.
            log.info("%s", error)

    def _late_locked(self) -> AbstractAsyncContextManager[None]:
        return locked(os.path.join(self.folder, LOCK), what="shards that were moved")

    def _lacking(self, placed: Iterable[ShardPlaced]) -> list[ShardPlaced]:
        return [each for each in placed if self.lacks(each)]

    def lacks(self, placed: ShardPlaced) -> bool:
        """Whether the pack is not known, nor its end: another writer's record is to come."""
        pack, index = placed.pack, self.index
        return index.pack_of_id(pack) is None and not index.is_deleted(pack)

    async def objects_of(self, entries: Iterable[JournalEntry]) -> dict[ObjectId, bytes]:
        """The objects in packs that a record stores, for the index's mirror."""
        objects: dict[ObjectId, bytes] = {}
        for entry in entries:
            if isinstance(entry, PackStored) and entry.kind is Kind.OBJECT:
                objects |= await self._objects(entry)
        return objects

    async def _objects(self, stored: PackStored) -> dict[ObjectId, bytes]:
        """The objects of a pack; none where a later record must have deleted it."""
        try:
            return await self.read_objects(stored)
        except DamageError as error:
            if self.members.down():
                raise
            log.warning("%s; if it was not deleted, `modelfloat verify` says so", error)
            return {}


def _since_start(path: str) -> bool:
    """Whether a file was written since this machine was started; blocks."""
    return 0 <= time.time() - os.stat(path).st_mtime <= boottime()
