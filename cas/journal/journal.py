"""The journal: this store's record of what happened, kept on the backends, then in the index.

Appending groups: entries that arrive while a record is on its way go into the next one. The order
is fixed: all copies of a record durable, then the index. So the index never knows more than the
journal, and a record that the index missed is applied by the next one who opens a journal.

A writer id is used only while every one of its records is known to be written: after a failed or
cancelled write, and where another record has its number, it is given up (`cas.journal.slots`).

Concurrency: one task per process writes records, one after another; callers wait for the record
that holds their entries. Between processes each open journal has a writer id of its own, guarded
by a lock file that lives as long as the journal is open; ids are used again by later processes.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from ...errors import KeyExistsError, ModelFloatError, UnavailableError, UsageError
from ...ids import ObjectId, PackId, StoreId, WriterId
from ..formats.journal import (
    DIGEST_SIZE,
    LONGEST,
    JournalEntry,
    ListedEntry,
    PackListed,
    PackStored,
    Record,
    ShardPlaced,
    decode_record,
    encode_listed,
    is_segment,
    record_length,
)
from ..index.index import Index
from ..locks import first_free, locked
from ..packs.members import Members
from .catchup import CatchUp, ReadObjects
from .completeness import require_complete, take_over
from .copies import record_name, store_record
from .slots import PREFIX, Slot, note_given_up, write_slot

GROUP: Final = 64
"""Most packs or changes that wait for one record."""
GROUP_CHUNKS: Final = 16_384
"""With so many chunks a record takes no more packs: each may change a page of a large index, and
all of these are in memory until the record is applied."""

PLACES: Final = "places"
"""The lock files of whoever records where a shard lies, or deletes it where it lay; one for each
first digit of pack ids, so that few wait."""

log = logging.getLogger(__name__)

Cover = Callable[[WriterId, int], Awaitable[None]]
"""Makes it known that a writer is at work, and the number of its last record so far."""


async def _uncovered(_writer: WriterId, _last: int) -> None:
    """For journals that nobody has to know of."""


@dataclass(slots=True)
class _Waiting:
    entries: Sequence[ListedEntry]
    objects: Mapping[ObjectId, bytes]
    segment: bool
    size: int = 0
    done: trio.Event = field(default_factory=trio.Event)
    written: bool = False
    error: Exception | None = None


class Journal:
    """One writer's journal, open for appending. Use `open_journal`."""

    def __init__(self, catch_up: CatchUp, path: str, slot: Slot) -> None:
        self._catch_up = catch_up
        self._path = path
        self._writer = slot.writer
        self._failure: Exception | None = None
        self._unsure = False
        self._send, self._receive = trio.open_memory_channel[_Waiting](GROUP)
        self._held: list[tuple[PackStored, Mapping[ObjectId, bytes]]] = []
        self.written = False
        """Whether anything was recorded."""
        self.cover: Cover = _uncovered
        """Told, before it writes, of a writer that this journal goes on as."""

    @property
    def writer(self) -> WriterId:
        """Whose journal it is now."""
        return self._writer

    async def append(
        self, entries: Sequence[JournalEntry], objects: Mapping[ObjectId, bytes] | None = None
    ) -> None:
        """Make entries durable, with the objects they bring; returns when the index has them.

        After one failure nothing more is taken: every later call raises what the first one did.
        UsageError for entries that no record holds together.
        """
        held, self._held = self._held, []
        if held:
            first, brought = [entry for entry, _ in held], _all_of(objects for _, objects in held)
            if record_length([*first, *entries], self._catch_up.members.cipher) > LONGEST:
                await self.append(first, brought)
            else:
                entries, objects = [*first, *entries], {**brought, **(objects or {})}
        size = record_length(entries, self._catch_up.members.cipher)
        if size > LONGEST:
            raise UsageError(
                f"{len(entries):,} changes at once are more than a record of the journal holds; "
                "make them in parts, of fewer branches and tags each"
            )
        segment = is_segment(entries)
        await self._enqueue(_Waiting(entries, objects or {}, segment, size))

    def hold(self, stored: PackStored, objects: Mapping[ObjectId, bytes]) -> None:
        """Have a pack recorded with what comes next, before that: nobody needs it until then, and
        each record is read by everybody who shares the store."""
        self._held.append((stored, objects))

    @property
    def held(self) -> frozenset[PackId]:
        """Packs that are held."""
        return frozenset(stored.pack for stored, _ in self._held)

    async def record_held(self) -> None:
        """Record what is held and came with nothing else."""
        if self._held:
            await self.append(())

    async def _enqueue(self, waiting: _Waiting) -> None:
        if self._failure is not None:
            raise self._failure
        await self._send.send(waiting)
        await waiting.done.wait()
        if not waiting.written:
            raise waiting.error or UnavailableError("the journal was closed before it was written")

    async def keep(self, data: bytes, name: str) -> None:
        """Append what another sound record says, called `name`, whose number is this record's no
        longer. Places of shards are left out: since then they may have moved, and listings tell."""
        record = decode_record(data, name, self._catch_up.members.cipher)
        entries = [entry for entry in record.entries if not isinstance(entry, ShardPlaced)]
        if entries:
            await self.append(entries, await self._catch_up.objects_of(entries))

    async def append_segment(self, entries: Sequence[ListedEntry]) -> int:
        """Make a segment durable, by `begin_anew`, as a record of its own; its number. The index
        knows already what it says, but for which records it stands."""
        waiting = _Waiting(entries, {}, segment=True)
        await self._enqueue(waiting)
        return self._index.writer(self._writer)[0]

    async def begin_anew(self) -> None:
        """Go on as a fresh writer: segments are found by asking for its numbers from 1 on, since
        none of them stands for a record of their own writer."""
        last, _ = self._index.writer(self._writer)
        if last:
            self._writer = await trio.to_thread.run_sync(self._change_writer, last)
            await self.cover(self._writer, 0)

    @contextlib.asynccontextmanager
    async def placing(self, pack: PackId) -> AsyncIterator[None]:
        """Hold the places of a pack's shards while one is recorded, or deleted where it was. That
        takes a moment only, so it always waits."""
        path = os.path.join(self._catch_up.folder, f"{PLACES}-{pack.hex()[0]}")
        async with locked(path, what="a shard moves"):
            yield

    async def catch_up_others(self) -> None:
        """Apply what writers that crashed since this journal was opened left in theirs.

        To be called under the refs' lock, before the head is read that a ref change will name.
        """
        async with self._catch_up.settling():
            await self._catch_up.others()

    async def require_complete(self, *, accept_losses: bool) -> None:
        """Apply every record that any backend has, or raise; for who is alone with the store."""
        await require_complete(self._catch_up, accept_losses=accept_losses)

    async def take_over(self, *, every: bool = False) -> None:
        """Apply what any backend has and the index lacks, as far as it can be had; UnavailableError
        where that comes on and on, with `every` also where one backend alone has more of it."""
        await take_over(self._catch_up)
        pace = self._catch_up.pace
        if pace.is_used_up or (every and pace.ended):
            raise pace.too_many()

    async def run(self) -> None:
        """Write records until the journal is closed."""
        async for first in self._receive:
            group = [first]
            with contextlib.suppress(trio.WouldBlock):
                while len(group) < GROUP and _chunks(group) < GROUP_CHUNKS:
                    following = self._receive.receive_nowait()
                    if not _go_together(group, following):
                        await self._write(group)
                        group = []
                    group.append(following)
            await self._write(group)

    async def _write(self, group: list[_Waiting]) -> None:
        entries = tuple(entry for waiting in group for entry in waiting.entries)
        objects = _all_of(waiting.objects for waiting in group)
        try:
            if self._failure is None:
                await self._record(entries, objects)
            for waiting in group:
                waiting.written = self._failure is None
        except Exception as error:  # noqa: BLE001 - every waiting caller must hear of it
            self._failure = error
        finally:
            for waiting in group:
                waiting.error = self._failure
                waiting.done.set()

    async def _record(
        self, entries: tuple[ListedEntry, ...], objects: Mapping[ObjectId, bytes]
    ) -> None:
        """Write one record and apply it; unless that ends well the slot stays unsure."""
        self._unsure = True
        try:
            record = await self._store(entries)
        except KeyExistsError as error:
            last, _ = self._index.writer(self._writer)
            name = record_name(self._writer, last + 1)
            log.warning("%s is there already (%s): going on as another writer", name, error)
            self._writer = await trio.to_thread.run_sync(self._change_writer, last)
            await self.cover(self._writer, 0)
            record = await self._store(entries)
        await self._catch_up.note_late(record.entries)
        await self._index.write(self._index.apply, record, objects)
        self._unsure, self.written = False, True

    def _change_writer(self, last: int) -> WriterId:
        note_given_up(self._catch_up.folder, {self._writer: last})
        slot = Slot.fresh()
        write_slot(self._path, replace(slot, closed=None))
        return slot.writer

    async def _store(self, entries: tuple[ListedEntry, ...]) -> Record:
        last, previous = self._index.writer(self._writer)
        context, seq = self._catch_up, last + 1
        known = tuple(entry for entry in entries if not isinstance(entry, PackListed))
        record = Record(context.store, self._writer, seq, previous, time.time_ns(), known)
        data = encode_listed(record, entries, context.members.cipher)
        await store_record(context.members, self._writer, seq, data, context.copies)
        return replace(record, digest=data[-DIGEST_SIZE:])

    @property
    def _index(self) -> Index:
        return self._catch_up.index

    def close(self) -> None:
        """No more entries; `run` ends when all that were sent are written."""
        self._send.close()

    def leave(self) -> None:
        """Note the last record's number, where nothing is left unsure: the id may be used again."""
        if self._unsure:
            return
        last, _ = self._index.writer(self._writer)
        try:
            write_slot(self._path, Slot(self._writer, last))
        except ModelFloatError as error:
            # All that was asked for is done: the next journal takes another id, that is all.
            log.warning("%s", error)


def _all_of(objects: Iterable[Mapping[ObjectId, bytes]]) -> dict[ObjectId, bytes]:
    return {id_: data for some in objects for id_, data in some.items()}


def _go_together(group: list[_Waiting], following: _Waiting) -> bool:
    """Whether one record may have all of these: a segment is one by itself."""
    segment = group[-1].segment or following.segment
    return not segment and sum(w.size for w in group) + following.size <= LONGEST


def _chunks(group: list[_Waiting]) -> int:
    entries = (entry for waiting in group for entry in waiting.entries)
    return sum(len(entry.chunks) for entry in entries if isinstance(entry, PackStored))


@contextlib.asynccontextmanager
async def open_journal(
    folder: str,
    store: StoreId,
    index: Index,
    members: Members,
    copies: int,
    read_objects: ReadObjects,
) -> AsyncIterator[Journal]:
    """Open a journal of this store, after records that the index had missed were applied to it.

    `folder` holds the lock files, `copies` is m+1, and `read_objects` reads all objects of a pack,
    for those records.
    """
    catch_up = CatchUp(folder, store, index, members, copies, read_objects)
    with contextlib.ExitStack() as held:
        async with catch_up.settling():
            path = held.enter_context(first_free(folder, PREFIX))
            await catch_up.others()
            slot = await catch_up.settle(path, own=True)
            # From here on a crash leaves the slot without the number of a last record.
            await trio.to_thread.run_sync(write_slot, path, replace(slot, closed=None))
            journal = Journal(catch_up, path, slot)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(journal.run)
                try:
                    yield journal
                finally:
                    journal.close()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(journal.leave)
