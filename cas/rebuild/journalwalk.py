"""All journals read back from the backends: each writer's records from the last to the first.

So a record says which bytes the one before it has, and of two copies that differ the right one is
known. Where a record is missing or torn, the one before it is taken from any sound copy. What is
missing is noted, and what lies behind it is still told: entries do not depend on the order in which
they are applied (`cas.index.apply`).

Memory: a window of records, at most `WINDOW` bytes or one record.
"""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import trio

from ...errors import FormatError
from ...ids import StoreId, WriterId
from ..formats.journal import DIGEST_SIZE, JournalEntry, PackListed, list_entries
from ..journal.copies import believable, head_of, load_copy, record_name, vouched_for
from ..packs.members import Members
from .scratch import Copy, Scratch, within

WINDOW: Final = 16 << 20
"""Bytes of records that are fetched at once."""
RECORDS: Final = 32
"""Records that are fetched at once, at most."""
_END: Final = (1 << 64) - 1
"""Behind every number."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A sound record: its entries with chunk tables unread; `size` in bytes."""

    writer: WriterId
    seq: int
    digest: bytes
    time_ns: int
    entries: list[PackListed | JournalEntry]
    size: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Records `first` to `last` of a writer of which no sound copy was found.

    They were written before `before_ns`, the time of the next record; None where there is none.
    """

    writer: WriterId
    first: int
    last: int
    before_ns: int | None

    def __str__(self) -> str:
        name = record_name(self.writer, self.first)
        return name if self.first == self.last else f"{name} to {self.last}"


@dataclass(slots=True)
class JournalWalk:
    """Reads every journal that `scratch` has copies of; afterwards `gaps` and `damaged` are told.

    `damaged` counts copies that were read and are not what was written; `newer` is what kept one
    from being read that says it is of a newer release. `unopened` says that one could not be
    decrypted, or is no record inside. `last` has the highest number of each writer that a copy has.
    """

    members: Members
    scratch: Scratch
    store: StoreId
    gaps: list[Gap] = field(default_factory=list)
    damaged: int = 0
    newer: FormatError | None = None
    unopened: bool = False
    last: dict[WriterId, int] = field(default_factory=dict)

    async def windows(self) -> AsyncIterator[list[Listed]]:
        """Every sound record, each writer's last one first, in windows."""
        for writer in await trio.to_thread.run_sync(self.scratch.writers):
            walk = _Writer(self, writer)
            while window := await walk.window():
                yield window
            walk.end()

    async def again(
        self, gaps: Sequence[Gap], known: Mapping[WriterId, int]
    ) -> AsyncIterator[list[Listed]]:
        """The same of what `gaps` had none of, and of what is behind the numbers in `known`."""
        for gap in gaps:
            walk = _Writer(self, gap.writer, gap.first, gap.last + 1, gap.before_ns)
            while window := await walk.window():
                yield window
            walk.end()
        for writer in await trio.to_thread.run_sync(self.scratch.writers):
            walk = _Writer(self, writer, known.get(writer, 0) + 1)
            while window := await walk.window():
                yield window
            walk.end()


class _Writer:
    """The walk through one writer's records from the number `first` on; with an `end` through
    those before it, all of which there must be."""

    def __init__(
        self,
        walk: JournalWalk,
        writer: WriterId,
        first: int = 1,
        end: int | None = None,
        before_ns: int | None = None,
    ) -> None:
        self._walk = walk
        self._writer = writer
        self._first = first
        self._below = _END if end is None else end
        self._reached = end
        self._expected: bytes | None = None
        self._before_ns = before_ns

    async def window(self) -> list[Listed]:
        """The next sound records; none only when there are no more."""
        while True:
            listed = await trio.to_thread.run_sync(
                self._walk.scratch.copies, self._writer, self._below, RECORDS
            )
            some = within([copies for copies in listed if copies[0].seq >= self._first], WINDOW)
            if not some:
                return []
            self._below = some[-1][0].seq
            first = await self._load([copies[0] for copies in some])
            found = [await self._record(copies, first) for copies in some]
            if sound := [record for record in found if record is not None]:
                return sound

    def end(self) -> None:
        """Note what is missing before the first record that was found."""
        if self._reached is not None and self._reached > self._first:
            self._gap(self._first, self._reached - 1)

    async def _load(self, copies: list[Copy]) -> dict[Copy, bytes]:
        found: dict[Copy, bytes] = {}
        members = self._walk.members

        async def load(copy: Copy) -> None:
            member = members.get(copy.backend)
            if member is not None and not member.down:
                data = await load_copy(members, member, copy.writer, copy.seq, copy.copy, copy.size)
                if data is not None:
                    found[copy] = data

        async with trio.open_nursery() as nursery:
            for copy in copies:
                nursery.start_soon(load, copy)
        return found

    async def _record(self, copies: list[Copy], first: dict[Copy, bytes]) -> Listed | None:
        """The record that `copies` are of; None, and a gap noted, where none of them is sound."""
        seq = copies[0].seq
        self._walk.last.setdefault(self._writer, seq)
        if self._reached is not None and self._reached - seq > 1:
            self._gap(seq + 1, self._reached - 1)
            self._expected = None
        self._reached = seq
        record = await self._sound(copies, first)
        if record is None:
            self._gap(seq, seq)
            self._expected = None
        return record

    async def _sound(self, copies: list[Copy], first: dict[Copy, bytes]) -> Listed | None:
        tried = {copies[0]: first[copies[0]]} if copies[0] in first else {}
        versions = self._versions(tried)
        # The next record says which bytes are right; without it all copies have a say.
        if not versions or self._expected is None:
            others = await self._load([copy for copy in copies if copy not in tried])
            versions.update(self._versions(others))
        if len(versions) > 1:
            log.warning(
                "%s differs from copy to copy; the more frequent one counts",
                record_name(self._writer, copies[0].seq),
            )
        told = believable((data for data, _ in versions.most_common()), self._walk.members.cipher)
        self._walk.damaged += sum(versions.values()) - sum(versions[data] for data in told)
        self._walk.unopened |= bool(versions) and not told
        for data in told:
            record = await trio.to_thread.run_sync(self._listed, data, copies[0].seq)
            if record is not None:
                return record
        return None

    def _versions(self, found: dict[Copy, bytes]) -> Counter[bytes]:
        """Sound contents of copies, with how often each was found."""
        sound: Counter[bytes] = Counter()
        for copy, data in found.items():
            right = self._expected is None or data[-DIGEST_SIZE:] == self._expected
            if right and self._is_record(data, copy.seq):
                sound[data] += 1
            else:
                self._walk.damaged += 1
                name = record_name(self._writer, copy.seq)
                log.warning("copy %d of %s is not what was written", copy.copy, name)
        return sound

    def _is_record(self, data: bytes, seq: int) -> bool:
        try:
            return head_of(data, self._walk.store, self._writer, seq) is not None
        except FormatError as error:
            self._walk.newer = error
            return False

    def _listed(self, data: bytes, seq: int) -> Listed | None:
        name = record_name(self._writer, seq)
        head = head_of(data, self._walk.store, self._writer, seq)
        if head is None:
            return None
        try:
            entries = list_entries(data, name, self._walk.members.cipher)
        except FormatError as error:
            log.warning("%s", error)
            self._walk.unopened = True
            return None
        genuine = vouched_for(data, self._walk.members.cipher)
        self._expected, self._before_ns = head.previous if genuine else None, head.time_ns
        digest = data[-DIGEST_SIZE:]
        return Listed(self._writer, seq, digest, head.time_ns, entries, len(data))

    def _gap(self, first: int, last: int) -> None:
        gaps = self._walk.gaps
        if gaps and (gaps[-1].writer, gaps[-1].first) == (self._writer, last + 1):
            former = gaps.pop()
            last = former.last
        gaps.append(Gap(self._writer, first, last, self._before_ns))
