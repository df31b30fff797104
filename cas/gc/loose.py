"""Journal records that may become part of a segment: old, small, known to the index, and all of
whose copies were found and are alike. What is not so is left to `verify`.

Memory: a window of records with all their copies.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.keys import journal_key
from ...backends.retry import RetryBackend
from ...errors import BackendError
from ...ids import BackendId, WriterId
from ..formats.journal import DIGEST_SIZE
from ..index.index import Index
from ..journal.copies import head_of, is_forged, load_copy, record_name, vouched_for
from ..journal.segments import LARGE
from ..lease.lease import Fence
from ..packs.members import Members
from ..rebuild.scratch import Copy, Scratch, within

WINDOW: Final = 8 << 20
"""Bytes of records that are looked at together, each counted once."""
RECORDS: Final = 64
"""Records that are looked at together, at most."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Loose:
    """A record of its own: its bytes, its time, and where its copies lie."""

    writer: WriterId
    seq: int
    time_ns: int
    data: bytes
    places: tuple[tuple[int, BackendId], ...]

    @property
    def digest(self) -> bytes:
        """The BLAKE3 at its end."""
        return self.data[-DIGEST_SIZE:]


@dataclass(slots=True)
class LooseRecords:
    """Looks for them among the copies that `scratch` has noted.

    `copies` is m+1. None is younger than `since_ns` by its own time, nor behind its writer's number
    in `limits`; of writers without one there is none. `fence` is called before copies are deleted;
    with None none are.
    """

    index: Index
    members: Members
    scratch: Scratch
    copies: int
    since_ns: int
    limits: Mapping[WriterId, int]
    fence: Fence | None

    def count(self) -> int:
        """How many there are, young ones too, and of those that only wait to be deleted."""
        found = 0
        for writer, end in self.limits.items():
            after = 0
            while some := self._next(writer, after, end):
                after = some[-1][0].seq
                found += len(some)
        return found

    def missing(self) -> str:
        """The name of a record that lacks a copy, "" where none does: while one does nothing is
        taken away that may say the same."""
        for writer in self.index.writers():
            last, _ = self.index.writer(writer)
            for first, end in self.index.uncovered(writer, 1, last):
                if (seq := self._first_missing(writer, first, end)) is not None:
                    return record_name(writer, seq)
        return ""

    def _first_missing(self, writer: WriterId, first: int, last: int) -> int | None:
        after = first - 1
        while found := self.scratch.copies_after(writer, after, RECORDS):
            for copies in found:
                if copies[0].seq > last:
                    break
                if copies[0].seq != after + 1 or len({c.copy for c in copies}) < self.copies:
                    return after + 1
                after += 1
            else:
                continue
            break
        return None if after >= last else after + 1

    async def windows(self) -> AsyncIterator[list[Loose]]:
        """All of them, each writer's first one first. Copies that an earlier compaction has left
        behind are deleted on the way."""
        for writer, end in sorted(self.limits.items()):
            after = 0
            while some := await trio.to_thread.run_sync(self._next, writer, after, end):
                after = some[-1][0].seq
                found = await self._load(some)
                old = [record for record in found if record.time_ns < self.since_ns]
                if old:
                    yield old
                if len(old) < len(found):
                    break

    async def planned(self) -> AsyncIterator[list[list[Copy]]]:
        """The copies of what `windows` would find, as far as a listing and a few times tell it."""
        for writer, end in sorted(self.limits.items()):
            after = 0
            while some := await trio.to_thread.run_sync(self._next, writer, after, end):
                after = some[-1][0].seq
                old = some[: await self._old(some)]
                loose = await trio.to_thread.run_sync(self._uncompacted, writer, old)
                if loose:
                    yield loose
                if len(old) < len(some):
                    break

    async def _old(self, some: list[list[Copy]]) -> int:
        """How many of a writer's records, in their order, are old enough; of most windows the last
        one tells, and one record in each half of what is left of another."""
        low, high = 0, len(some)
        probe = high - 1
        while low < high:
            if await self._is_old(some[probe]):
                low = probe + 1
            else:
                high = probe
            probe = (low + high) // 2
        return low

    async def _is_old(self, copies: list[Copy]) -> bool:
        """By the first copy that can be read; what nobody can read is no younger than the rest."""
        for copy in copies:
            member, data = self.members.get(copy.backend), None
            if member is not None and not member.down:
                data = await load_copy(
                    self.members, member, copy.writer, copy.seq, copy.copy, copy.size
                )
            if data is not None:
                head = head_of(data, self.members.store, copy.writer, copy.seq)
                if head is not None:
                    return head.time_ns < self.since_ns
        return True

    def _uncompacted(self, writer: WriterId, some: list[list[Copy]]) -> list[list[Copy]]:
        """Those for which no segment stands yet."""
        digests = self.index.compacted(writer, [copies[0].seq for copies in some])
        return [copies for copies, digest in zip(some, digests, strict=True) if digest == b""]

    def _next(self, writer: WriterId, after: int, end: int) -> list[list[Copy]]:
        """Copies of the next records up to `end`; large ones are passed over."""
        while True:
            found = self.scratch.copies_after(writer, after, RECORDS)
            some = within([c for c in found if c[0].seq <= end and c[0].size < LARGE], WINDOW)
            if some or not found or found[-1][0].seq >= end:
                return some
            after = found[-1][0].seq

    async def _load(self, some: list[list[Copy]]) -> list[Loose]:
        """The records that these are copies of, where all of them are alike."""
        contents: dict[Copy, bytes] = {}

        async def load(copy: Copy) -> None:
            member = self.members.get(copy.backend)
            if member is not None and not member.down:
                data = await load_copy(
                    self.members, member, copy.writer, copy.seq, copy.copy, copy.size
                )
                if data is not None:
                    contents[copy] = data

        async with trio.open_nursery() as nursery:
            for copies in some:
                for copy in copies:
                    nursery.start_soon(load, copy)
        found = []
        for copies in some:
            record = self._record(copies, contents)
            if record is None:
                log.info("%s is not compacted", record_name(copies[0].writer, copies[0].seq))
            elif (digest := self._compacted(record)) == b"":
                found.append(record)
            elif digest == record.digest and self.fence is not None:
                self.fence()
                await delete(self.members, record)
        return found

    def _compacted(self, record: Loose) -> bytes:
        (digest,) = self.index.compacted(record.writer, [record.seq])
        return digest

    def _record(self, copies: list[Copy], contents: Mapping[Copy, bytes]) -> Loose | None:
        versions = {contents.get(copy, b"") for copy in copies}
        writer, seq, data = copies[0].writer, copies[0].seq, versions.pop()
        if versions or not data:
            return None
        head, cipher = head_of(data, self.members.store, writer, seq), self.members.cipher
        if head is None or is_forged(data, cipher) or not vouched_for(data, cipher):
            return None
        places = tuple((copy.copy, copy.backend) for copy in copies)
        return Loose(writer, seq, head.time_ns, data, places)


async def delete(members: Members, record: Loose) -> None:
    """Delete the copies of a record for which a durable segment stands; those that cannot be
    reached are left to the next compaction."""
    for copy, where in record.places:
        member = members.get(where)
        if member is None or member.down:
            continue
        try:
            key = journal_key(record.writer, record.seq, copy)
            await RetryBackend(member.backend).delete(key)
        except BackendError as error:
            members.note_failure(member, error, writing=True)
            log.info("%s: a copy of a compacted record stays", error)
