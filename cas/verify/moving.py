"""Shards moved for all packs of a store: off one backend, or to where placement wants them.

What is to be moved is told by the index, pack by pack, when its turn comes; what was moved is
recorded there. So who is interrupted goes on where it was, and a plan is no more than a forecast.

Concurrency: beside adds and reads; one that moves at a time, which is the caller's to see to.
Memory: packs in the room that checks have for them.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from ...erasure.scheme import Scheme
from ...errors import one_failure
from ...ids import BackendId, PackNumber
from ..capacity import shard_size
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from ..journal.journal import Journal
from ..packs.health import State
from ..packs.placement import UNLIMITED, Crowding, limits
from ..packs.pool import Pool
from ..packs.survival import Layouts, Survival, layouts_of, survival
from ..progress import Progress
from .moveplan import away, spread
from .mover import Mover
from .movereport import MovePlan, MoveReport, PlannedMove
from .packreads import PackReads, PackRoom
from .repair import Repairer, where
from .throttle import Throttle

AHEAD: Final = 4
"""Packs of which shards are moved at once."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is moved: the shards on `leaving`, or where that is None what placement wants.

    With `force` a pack may lie as crowded as the other backends make it.
    """

    leaving: BackendId | None = None
    force: bool = False


@dataclass(slots=True)
class _Tally:
    """What a plan has given to each backend, and what it moves from where to where."""

    given: Counter[BackendId] = field(default_factory=Counter)
    shards: Counter[tuple[BackendId, BackendId]] = field(default_factory=Counter)
    bytes: Counter[tuple[BackendId, BackendId]] = field(default_factory=Counter)
    stuck: int = 0

    def note(self, pack: PackRecord, index: int, to: BackendId) -> None:
        size = shard_size(pack, index)
        self.given[to] += size
        self.shards[pack.backends[index], to] += 1
        self.bytes[pack.backends[index], to] += size


@dataclass(frozen=True, slots=True)
class Moving:
    """Moves shards of one store, whose new packs are of `scheme`."""

    index: Index
    pool: Pool
    scheme: Scheme

    def plan(self, goal: Goal) -> MovePlan:
        """What would be moved, and what survives then. For a worker thread."""
        tally = _Tally()
        before = layouts_of(self.index.packs())
        after = layouts_of(self._moved(goal, tally))
        now, then = self._survival(before, None), self._survival(after, goal.leaving)
        name = self.pool.members.name_of
        moves = tuple(
            PlannedMove(name(source), name(target), count, tally.bytes[source, target])
            for (source, target), count in sorted(
                tally.shards.items(), key=lambda item: (name(item[0][0]), name(item[0][1]))
            )
        )
        worse = any(
            self._survival(_of(after, m), goal.leaving).is_less_than(
                self._survival(_of(before, m), None)
            )
            for m in {layout.m for layout in before}
        )
        return MovePlan(moves, tally.stuck, now.text, then.text, worse)

    def _survival(self, layouts: Layouts, without: BackendId | None) -> Survival:
        members = [m.candidate for m in self.pool.members if m.id != without]
        up = {member.id for member in self.pool.members.up() if member.id != without}
        return survival(self.scheme, members, up, layouts)

    def _moved(self, goal: Goal, tally: _Tally) -> Iterator[PackRecord]:
        for pack in self.index.packs():
            backends, states = list(pack.backends), list(pack.states)
            for index, to in self.choose(goal, pack, tally.given).items():
                if to is None:
                    tally.stuck += 1
                    continue
                tally.note(pack, index, to)
                backends[index], states[index] = to, ShardState.GOOD
            yield replace(pack, backends=tuple(backends), states=tuple(states))

    def choose(
        self, goal: Goal, pack: PackRecord, given: Mapping[BackendId, int]
    ) -> Mapping[int, BackendId | None]:
        """Which shards of a pack go where, None where there is no place; `given` are bytes that
        backends are to get besides."""
        size, members = shard_size(pack, pack.n - 1), self.pool.members
        free = [
            m.candidate
            for m in members.taking(size)
            if m.id != goal.leaving and m.has_room(given.get(m.id, 0) + size)
        ]
        lie = where(self.pool, pack)
        if goal.leaving is None:
            most = limits(pack.m, pack.n, [m.candidate for m in members])
            # What takes no more, for want of room or by decision, keeps what it has.
            takes = {candidate.id for candidate in free}
            keeps = {c for c in lie if c is not None and c.id not in takes and self._keeps(c.id)}
            wanted = spread(pack.id, lie, [*free, *keeps], most)
            return {i: to for i, to in wanted.items() if to in takes and self.pool.usable(pack, i)}
        staying = [m.candidate for m in members if m.id != goal.leaving]
        most = limits(pack.m, pack.n, staying)
        # Domains give way first, as for new packs; then, if that is asked for, backends.
        tries = [most, Crowding(most.backend, pack.n), *[UNLIMITED] * goal.force]
        moves: Mapping[int, BackendId | None] = {}
        for limit in tries:
            moves = away(pack.id, lie, goal.leaving, free, limit)
            if None not in moves.values():
                break
        return moves

    def _keeps(self, backend: BackendId) -> bool:
        """Whether what lies on a backend may stay there: it is up, and not to be emptied."""
        member = self.pool.members.get(backend)
        return (
            member is not None and not member.down and member.health.decided is not State.DRAINING
        )

    async def run(
        self, goal: Goal, journal: Journal, progress: Progress, rate: float | None = None
    ) -> MoveReport:
        """Move what is to be moved, at most `rate` bytes a second read and written."""
        started, report, throttle = time.monotonic(), MoveReport(), Throttle(rate)
        repairer = Repairer(self.index, self.pool, journal, throttle)
        reads = PackReads(self.pool, report, Progress(), throttle)
        mover = Mover(self.pool, repairer, reads, report, progress)
        with one_failure():
            await self._move_all(goal, mover)
        report.seconds = time.monotonic() - started
        return report

    async def _move_all(self, goal: Goal, mover: Mover) -> None:
        packs, one = self.index.packs(), trio.CapacityLimiter(1)
        room = PackRoom(self.pool.decodings.budget)

        async def work() -> None:
            while (
                pack := await trio.to_thread.run_sync(next, packs, None, limiter=one)
            ) is not None:
                if self.choose(goal, pack, {}):
                    async with room.holding(pack.n * pack.shard):
                        await self._move(goal, mover, pack.number)

        async with trio.open_nursery() as nursery:
            for _ in range(AHEAD):
                nursery.start_soon(work)

    async def _move(self, goal: Goal, mover: Mover, number: PackNumber) -> None:
        """Move shards of one pack as it is now: others may have done so, or deleted it."""
        pack = self.index.pack(number)
        if pack is not None:
            chosen = self.choose(goal, pack, {})
            await mover.move(pack, {i: to for i, to in chosen.items() if to is not None})

    def left_on(self, backend: BackendId) -> int:
        """Shards that the index has on a backend. For a worker thread."""
        return sum(pack.backends.count(backend) for pack in self.index.packs())


def _of(layouts: Layouts, m: int) -> Layouts:
    """Those of packs with that parity: others may be meant to survive less."""
    return {layout: count for layout, count in layouts.items() if layout.m == m}
