"""Checking the copies of journal records: all there, all alike, and far enough from each other.

What a record should be is told from its end: the index knows the digest of each writer's last
record, and every record the digest of the one before. So a copy that differs is told from the
right one even where there are as many of each.
"""

import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from ...backends.keys import journal_key, parse_journal_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, FormatError, ModelFloatError
from ...ids import BackendId, WriterId
from ..formats.journal import DIGEST_SIZE
from ..index.index import Index
from ..journal.copies import (
    MOST_LISTED,
    believable,
    head_of,
    is_forged,
    load_copy,
    record_name,
    too_many,
    vouched_for,
)
from ..journal.slots import given_up
from ..packs.members import Member, Members
from ..packs.placement import Candidate, limits, misplaced, place
from .report import UNSEEN, Problem, VerifyReport
from .rerecord import LostRecord

LOCKS: Final = "locks"
"""Where, in the store's folder, given-up writers are noted."""
BEHIND: Final = 10_000
"""Lost records behind a writer's last known one that are looked at: nobody loses more."""
Keep = Callable[[bytes, str], Awaitable[None]]
"""Appends to the journal what a record says, given as its bytes and name."""

log = logging.getLogger(__name__)


async def check_copies(
    index: Index, members: Members, copies: int, report: VerifyReport, keep: Keep | None
) -> list[LostRecord]:
    """Check that every record has its copies where they belong, and put them there if `keep` is
    given: it records anew what another record of the same number says, before that is replaced.

    Whatever is wrong is among the report's problems, under the record's name. Records of which no
    sound copy is left on a backend that is up are returned, unless that was made good already.
    """
    lost: list[LostRecord] = []
    noted = given_up(os.path.join(os.path.dirname(index.path), LOCKS))
    for writer in sorted({*index.writers(), *noted}):
        check = _Check(index, writer, members, copies, report, keep)
        await check.run(*index.writer(writer), noted.get(writer))
        lost += ((writer, seq) for seq in check.lost)
    return lost


@dataclass(slots=True)
class _Found:
    """One record's copies: what each member that is up has under each copy's key."""

    copies: dict[tuple[int, BackendId], bytes | None] = field(default_factory=dict)

    def holders(self, copy: int, data: bytes | None) -> list[BackendId]:
        """Members with that copy, equal to `data`."""
        if data is None:
            return []
        return [id_ for (c, id_), held in self.copies.items() if c == copy and held == data]


@dataclass(slots=True)
class _Check:
    """The check of one writer's records."""

    index: Index
    writer: WriterId
    members: Members
    copies: int
    report: VerifyReport
    keep: Keep | None
    kept: set[bytes] = field(default_factory=set)
    held: dict[int, list[tuple[int, Member]]] = field(default_factory=dict)
    reachable: dict[BackendId, Candidate] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)

    async def run(self, last: int, digest: bytes, given_up: int | None) -> None:
        """Check records `last` to 1; `digest` is the last one's.

        Of a writer that was given up also those behind, since nothing follows any more; `given_up`
        is the number of its last record that was acknowledged, as far as was known.
        """
        for member in self.members.up():
            await self._list(member)
        if given_up is not None:
            await self._check_behind(last, given_up)
        expected: bytes | None = digest
        for seq in range(last, 0, -1):
            expected = await self._check_record(seq, expected)

    async def _check_behind(self, last: int, given_up: int) -> None:
        """Check the records that the index does not know: some have never been acknowledged, and
        a rebuild found what could be found of others."""
        without: set[int] = set()
        for gap in self.index.gaps():
            if gap.writer == self.writer:
                without.update(islice(range(max(gap.first, last + 1), gap.last + 1), BEHIND))
        for seq in sorted({*(seq for seq in self.held if seq > last), *without}):
            await self._check_record(seq, None)
            if seq <= given_up and seq not in without and seq in self.lost:
                # What it said is not in this index: nobody could write it anew.
                self.lost.remove(seq)

    async def _list(self, member: Member) -> None:
        """Note which copies a member has: one listing in place of many questions."""
        count = 0
        try:
            async for listed in member.backend.list(f"journal/{self.writer.hex()}/"):
                count += 1
                if count > MOST_LISTED:
                    raise too_many(member)
                parsed = parse_journal_key(listed.key)
                if parsed is not None:
                    self.held.setdefault(parsed[1], []).append((parsed[2], member))
        except BackendError as error:
            log.warning("%s", error)
            self.members.note_failure(member, error)
        else:
            self.reachable[member.id] = member.candidate

    async def _check_record(self, seq: int, expected: bytes | None) -> bytes | None:
        """Check one record; the digest of the one before, None where it cannot be told."""
        if any(self.index.compacted(self.writer, [seq])):
            return None
        found = await self._load(seq)
        data = self._right_one(seq, found, expected)
        if data is None:
            if self.index.is_made_good(self.writer, seq):
                return None
            self.lost.append(seq)
        bad = await self._mend_bad(seq, found, data)
        where = self._chosen(found, data)
        await self._mend_missing(seq, where, data, bad)
        await self._mend_crowded(seq, where, data, bad)
        if data is None or not vouched_for(data, self.members.cipher):
            return None
        head = head_of(data, self.index.store, self.writer, seq)
        return None if head is None else head.previous

    async def _load(self, seq: int) -> _Found:
        found = _Found()

        async def load(copy: int, member: Member) -> None:
            data = await load_copy(self.members, member, self.writer, seq, copy)
            found.copies[copy, member.id] = data

        async with trio.open_nursery() as nursery:
            for copy, member in self.held.get(seq, []):
                if copy < self.copies and member.id in self.reachable:
                    nursery.start_soon(load, copy, member)
        return found

    def _right_one(self, seq: int, found: _Found, expected: bytes | None) -> bytes | None:
        """The record's bytes; None where no copy has them, or nothing tells which does."""
        right = {d for d in found.copies.values() if d is not None and self._is_record(d, seq)}
        if expected is not None:
            right = {data for data in right if data[-DIGEST_SIZE:] == expected}
        told = believable(right, self.members.cipher)
        return told[0] if len(told) == 1 else None

    def _is_record(self, data: bytes, seq: int) -> bool:
        try:
            head = head_of(data, self.index.store, self.writer, seq)
            return head is not None and not is_forged(data, self.members.cipher)
        except FormatError as error:
            log.warning("%s", error)
            return False

    async def _mend_bad(self, seq: int, found: _Found, data: bytes | None) -> set[int]:
        """Write anew what is damaged or differs; the copies that it stays so of."""
        bad = set()
        for (copy, id_), content in list(found.copies.items()):
            if data is not None and content == data:
                continue
            expendable = True
            if content is None:
                problem = "copy that cannot be read"
            elif self._is_record(content, seq):
                problem = "copy that differs from the others"
                expendable = data is not None and await self._keep(seq, content)
            else:
                problem = "damaged copy"
            if expendable and await self._put(seq, copy, id_, data):
                found.copies[copy, id_] = data
                self._note(seq, copy, id_, problem, repaired=True)
            else:
                bad.add(copy)
                self._note(seq, copy, id_, problem, repaired=False)
        return bad

    async def _keep(self, seq: int, content: bytes) -> bool:
        """Record anew what another record of that number says, as it may have been acknowledged
        while an index of an earlier state was not in use yet; whether that is done."""
        name = record_name(self.writer, seq)
        if self.keep is None or content in self.kept:
            return self.keep is not None
        try:
            await self.keep(content, name)
        except ModelFloatError as error:
            log.warning("another %s cannot be recorded anew: %s", name, error)
            return False
        self.kept.add(content)
        return True

    def _chosen(self, found: _Found, data: bytes | None) -> list[Candidate | None]:
        """For each copy the place that counts: where it belongs, else away from the others."""
        places = self._places()
        where: list[Candidate | None] = []
        for copy in range(self.copies):
            held = [self.reachable[id_] for id_ in found.holders(copy, data)]
            used = Counter(c.id for c in where if c is not None)
            load = Counter(c.domain for c in where if c is not None)
            home = places[copy] if copy < len(places) else None
            where.append(
                min(held, key=lambda c: (load[c.domain], used[c.id], c.id != home), default=None)
            )
        return where

    def _places(self) -> list[BackendId]:
        return place(self.writer, [m.candidate for m in self.members], self.copies)

    async def _mend_missing(
        self, seq: int, where: list[Candidate | None], data: bytes | None, bad: set[int]
    ) -> None:
        for copy, home in enumerate(self._places()):
            if where[copy] is not None or copy in bad:
                continue
            problem = "missing copy" if home in self.reachable else UNSEEN
            if data is None:
                problem = "no sound copy is left on a backend that is up"
            target = self._target(where)
            repaired = target is not None and await self._put(seq, copy, target.id, data)
            if repaired:
                where[copy] = target
            self._note(seq, copy, home, problem, repaired=repaired)

    def _target(self, where: list[Candidate | None]) -> Candidate | None:
        up = self._writable()
        taken = [c for c in where if c is not None]
        found = place(self.writer, up, 1, taken, limits(1, self.copies, up))
        return self.reachable[found[0]] if found else None

    def _writable(self) -> list[Candidate]:
        """Where copies may be written to."""
        there = self.members.recording(self.copies)
        return [self.reachable[member.id] for member in there if member.id in self.reachable]

    async def _mend_crowded(
        self, seq: int, where: list[Candidate | None], data: bytes | None, bad: set[int]
    ) -> None:
        up = self._writable()
        moves = misplaced(self.writer, where, up, limits(1, self.copies, up))
        for copy, move in sorted(moves.items()):
            here = where[copy]
            if here is not None and copy not in bad:
                repaired = await self._put(seq, copy, move.to, data)
                problem = f"copy on the same {move.crowded} as another"
                self._note(seq, copy, here.id, problem, repaired=repaired)

    async def _put(self, seq: int, copy: int, to: BackendId, data: bytes | None) -> bool:
        """Write one copy, whatever is there, if that is wanted; whether it is durable."""
        member = self.members.get(to)
        if self.keep is None or data is None or member is None:
            return False
        try:
            await RetryBackend(member.backend).put(journal_key(self.writer, seq, copy), [data])
        except BackendError as error:
            log.warning("%s", error)
            self.members.note_failure(member, error)
            return False
        return True

    def _note(self, seq: int, copy: int, where: BackendId, problem: str, *, repaired: bool) -> None:
        name = record_name(self.writer, seq)
        backend = self.members.name_of(where)
        self.report.note(Problem(name, copy, backend, problem, repaired, "journal record"))
