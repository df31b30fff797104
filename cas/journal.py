"""The journal: this store's record of what happened, kept on the backends, then in the index.

Appending groups: entries that arrive while a record is on its way go into the next one. The order
is fixed: all copies of a record durable, then the index. So the index never knows more than the
journal, and a record that the index missed is applied when the journal is opened again.

Concurrency: one task per process writes records, one after another; callers wait for the record
that holds their entries. Between processes each open journal has a writer id of its own, guarded
by a lock file that lives as long as the journal is open; ids are used again by later processes.
"""

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio
from blake3 import blake3

from ..backends.keys import journal_key
from ..backends.retry import RetryBackend
from ..errors import BackendError, KeyNotFoundError, UnavailableError
from ..ids import BackendId, ObjectId, StoreId, WriterId, random_writer_id
from .formats.chunktable import Kind
from .formats.journal import JournalEntry, PackStored, Record, decode_record, encode_record
from .index import Index
from .locks import first_free
from .members import Member, Members
from .placement import place
from .reports import ShardProblem, VerifyReport

GROUP: Final = 64
"""Most packs or changes that wait for one record."""

ReadObjects = Callable[[PackStored], Awaitable[dict[ObjectId, bytes]]]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    entries: Sequence[JournalEntry]
    objects: Mapping[ObjectId, bytes]
    done: trio.Event = field(default_factory=trio.Event)
    written: bool = False
    error: Exception | None = None


class Journal:
    """One writer's journal, open for appending. Use `open_journal`."""

    def __init__(
        self,
        store: StoreId,
        writer: WriterId,
        index: Index,
        members: Members,
        copies: int,
        read_objects: ReadObjects,
    ) -> None:
        self._store = store
        self._writer = writer
        self._index = index
        self._members = members
        self._copies = copies
        self._read_objects = read_objects
        self._send, self._receive = trio.open_memory_channel[_Waiting](GROUP)

    async def append(
        self, entries: Sequence[JournalEntry], objects: Mapping[ObjectId, bytes] | None = None
    ) -> None:
        """Make entries durable, with the objects they bring; returns when the index has them."""
        waiting = _Waiting(entries, objects or {})
        await self._send.send(waiting)
        await waiting.done.wait()
        if not waiting.written:
            raise waiting.error or UnavailableError("the journal was closed before it was written")

    async def run(self) -> None:
        """Write records until the journal is closed."""
        async for first in self._receive:
            group = [first]
            with contextlib.suppress(trio.WouldBlock):
                while len(group) < GROUP:
                    group.append(self._receive.receive_nowait())
            await self._write(group)

    async def _write(self, group: list[_Waiting]) -> None:
        entries = tuple(entry for waiting in group for entry in waiting.entries)
        objects = {id_: data for waiting in group for id_, data in waiting.objects.items()}
        try:
            seq, previous = self._index.writer(self._writer)
            record = Record(self._store, self._writer, seq + 1, previous, time.time_ns(), entries)
            data = encode_record(record)
            await store_record(self._members, self._writer, seq + 1, data, self._copies)
            sealed = decode_digest(record, data)
            await self._index.write(self._index.apply, sealed, objects)
            for waiting in group:
                waiting.written = True
        except Exception as error:  # noqa: BLE001 - every waiting caller must hear of it
            for waiting in group:
                waiting.error = error
        finally:
            for waiting in group:
                waiting.done.set()

    async def catch_up(self) -> None:
        """Apply records of this writer that the index has not seen (after a crash between both)."""
        while True:
            seq, _ = self._index.writer(self._writer)
            data = await load_record(self._members, self._writer, seq + 1, self._copies)
            if data is None:
                return
            record = decode_record(data, f"journal record {seq + 1}")
            log.info("applying journal record %d that the index had missed", record.seq)
            # A crash may have come between two copies: make sure that all are there.
            await store_record(self._members, self._writer, record.seq, data, self._copies)
            objects: dict[ObjectId, bytes] = {}
            for entry in record.entries:
                if isinstance(entry, PackStored) and entry.kind is Kind.OBJECT:
                    objects |= await self._read_objects(entry)
            await self._index.write(self._index.apply, record, objects)

    def close(self) -> None:
        """No more entries; `run` ends when all that were sent are written."""
        self._send.close()


def decode_digest(record: Record, data: bytes) -> Record:
    """`record` with the digest that its encoded form ends in."""
    return Record(
        record.store,
        record.writer,
        record.seq,
        record.previous,
        record.time_ns,
        record.entries,
        digest=data[-32:],
    )


@contextlib.asynccontextmanager
async def open_journal(
    folder: str,
    store: StoreId,
    index: Index,
    members: Members,
    copies: int,
    read_objects: ReadObjects,
) -> AsyncIterator[Journal]:
    """Open a journal of this store.

    `folder` holds the lock files, `copies` is m+1, and `read_objects` reads all objects of a pack,
    for records that the index had missed.
    """
    with first_free(folder, "writer") as path:
        journal = Journal(store, _writer_of(path), index, members, copies, read_objects)
        await journal.catch_up()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.run)
            try:
                yield journal
            finally:
                journal.close()


def _writer_of(path: str) -> WriterId:
    """The writer id in a lock file, made at its first use."""
    with open(path, "r+b", buffering=0) as file:
        known = file.read().strip()
        if len(known) == 32:
            return WriterId(bytes.fromhex(known.decode()))
        writer = random_writer_id()
        file.seek(0)
        file.truncate()
        file.write(writer.hex().encode())
        os.fsync(file.fileno())
        return writer


async def store_record(
    members: Members, writer: WriterId, seq: int, data: bytes, copies: int
) -> None:
    """Make all copies of a record durable; UnavailableError unless at least one less is."""
    up = {member.id: member for member in members.up()}
    places = place(writer, [m.candidate for m in up.values()], copies)
    if not places:
        raise UnavailableError("no backend is up: nothing can be recorded; see `backend ls`")
    failures: list[BackendError] = []

    async def put(copy: int, where: BackendId) -> None:
        try:
            await RetryBackend(up[where].backend).put(journal_key(writer, seq, copy), [data])
        except BackendError as error:
            members.note_failure(up[where], error)
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for copy, where in enumerate(places):
            nursery.start_soon(put, copy, where)
    if failures and len(places) - len(failures) < max(1, copies - 1):
        raise failures[0]


async def load_record(members: Members, writer: WriterId, seq: int, copies: int) -> bytes | None:
    """A sound copy of a record, from any backend; None where none has one."""
    up = {member.id: member for member in members.up()}
    places = place(writer, [m.candidate for m in up.values()], copies)
    likely = list(dict.fromkeys(enumerate(places)))
    others = [(c, id_) for id_ in up for c in range(copies) if (c, id_) not in likely]
    for copy, where in [*likely, *others]:
        data = await _load_copy(up[where], writer, seq, copy)
        if data is not None:
            return data
    return None


async def _load_copy(member: Member, writer: WriterId, seq: int, copy: int) -> bytes | None:
    try:
        data = await member.backend.get(journal_key(writer, seq, copy))
    except KeyNotFoundError:
        return None
    except BackendError as error:
        log.warning("%s", error)
        return None
    if blake3(memoryview(data)[:-32]).digest() == data[-32:]:
        return data
    log.warning("copy %d of journal record %d on %s is damaged", copy, seq, member.name)
    return None


async def check_copies(
    index: Index, members: Members, copies: int, report: VerifyReport, *, repair: bool
) -> None:
    """Check that every record has its copies where they belong; `repair` puts them there."""
    for writer in index.writers():
        last, _ = index.writer(writer)
        for seq in range(1, last + 1):
            await _check_record(members, writer, seq, copies, report, repair=repair)


async def _check_record(
    members: Members, writer: WriterId, seq: int, copies: int, report: VerifyReport, *, repair: bool
) -> None:
    places = place(writer, [m.candidate for m in members], copies)
    missing = []
    for copy, where in enumerate(places):
        member = members.get(where)
        if member is not None and await _find_copy(members, member, writer, seq, copy) is None:
            missing.append((copy, member))
    if not missing:
        return
    name = f"journal record {writer.hex()[:8]}/{seq}"
    data = await load_record(members, writer, seq, copies)
    if data is None:
        report.lost.append(name)
        return
    for copy, member in missing:
        repaired = repair and not member.down
        if repaired:
            await RetryBackend(member.backend).put(journal_key(writer, seq, copy), [data])
        problem = "its backend is down" if member.down else "missing or damaged copy"
        report.problems.append(ShardProblem(name, copy, member.name, problem, repaired))


async def _find_copy(
    members: Members, expected: Member, writer: WriterId, seq: int, copy: int
) -> bytes | None:
    """A copy from where it belongs, or from where it was put while that was down."""
    others = [member for member in members.up() if member is not expected]
    for member in [*([] if expected.down else [expected]), *others]:
        data = await _load_copy(member, writer, seq, copy)
        if data is not None:
            return data
    return None
