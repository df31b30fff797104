"""The journals of a store taken into a new index, and what is missing of them.

Records are taken over while the next ones are read: who needs them in order sorts them later.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

import trio

from ...errors import FormatError
from ...ids import WriterId
from ..journal.slots import given_up, last_numbers
from ..packs.members import Members
from .draft import Draft
from .journalwalk import Gap, JournalWalk, Listed
from .oldindex import OldIndex
from .report import RebuildReport
from .scratch import Copy

ASKED: Final = 256
"""Records that listings do not show and that are asked for all the same, at most."""


@dataclass(slots=True)
class Journals:
    """Takes records into `draft`, and counts them in `report`.

    A record lies on `copies` backends. `advance` is told how many bytes were read.
    """

    draft: Draft
    members: Members
    locks: str
    copies: int
    report: RebuildReport
    advance: Callable[[int], None]
    known: dict[WriterId, int] = field(default_factory=dict)
    """The highest number that anything says a writer has used."""

    async def read(self) -> list[Gap]:
        """Take over what the listings show; what is missing between."""
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

    async def ask_for(self, gaps: list[Gap]) -> dict[WriterId, int]:
        """Have the records of gaps asked for by number; up to where `again` is to look."""
        known = dict(self.known)
        for gap in gaps:
            known[gap.writer] = max(gap.last, known.get(gap.writer, 0))
        numbers = ((gap.writer, seq) for gap in gaps for seq in range(gap.first, gap.last + 1))
        rows = [
            Copy(writer, seq, copy, member.id, 0)
            for writer, seq in islice(numbers, ASKED)
            for member in self.members.up()
            for copy in range(self.copies)
        ]
        await trio.to_thread.run_sync(self.draft.scratch.note_copies, rows)
        return known

    async def again(self, gaps: list[Gap], known: Mapping[WriterId, int]) -> list[Gap]:
        """Take over what was missing and is found now; what is missing still."""
        walk = JournalWalk(self.members, self.draft.scratch, self.members.store)
        await self._take_all(walk.again(gaps, known))
        self._know({writer: self.draft.writer(writer)[0] for writer in self.draft.writers()})
        return await self._left(walk)

    def cut_short(self, old: OldIndex) -> list[Gap]:
        """Records behind the last that was found, as slots, given-up ids and an old index know."""
        for numbers in (last_numbers(self.locks), given_up(self.locks), old.numbers()):
            self._know(numbers)
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
                    self.advance(sum(record.size for record in window))
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


async def _send_all(
    windows: AsyncIterator[list[Listed]], send: trio.MemorySendChannel[list[Listed]]
) -> None:
    async with send:
        async for window in windows:
            await send.send(window)
