"""Checking packs: those that are well in passing, any other one looked at closely and mended.

A pack's truth is what its footers agree on and its blocks and chunks confirm (`judgement`). A pack
that cannot be had, or was wrong when it was sealed, is reported, and the next one checked; what can
still be had of it is stored again where a repair is asked for.

Memory: packs in passing take little (`steady`); others are held as a whole, with their parity and
what damage makes again, as many at once as the memory budget has room for.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from ...backends.base import Buffer
from ...errors import IndexDamagedError, ModelFloatError, one_failure
from ...ids import PackNumber
from ..formats.chunktable import Kind
from ..formats.journal import NOWHERE
from ..formats.shard import encode_tail
from ..index.checkbook import Checkbook
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from ..packs.placement import Move
from ..packs.pool import Pool
from ..progress import Progress
from .doubts import Doubts
from .glance import Glance
from .judgement import Found, Judgement, Shard
from .mirroring import Mirroring
from .needs import Lost, Verdicts
from .packreads import PackReads, PackRoom
from .placecheck import PlaceCheck
from .repair import Repairer, crowded_shards
from .report import Problem, VerifyReport
from .rescue import Rescuer
from .secondlook import are_sound
from .steady import Steady
from .throttle import Throttle

_Check = Callable[[PackRecord], Awaitable[bool]]
"""Checks a pack; False where its shards are no longer where that record has them."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mending:
    """What a check repairs with."""

    repairer: Repairer
    rescuer: Rescuer


class Checker:
    """Checks packs, several at once if asked to. With `mending` it repairs."""

    def __init__(
        self,
        index: Index,
        pool: Pool,
        report: VerifyReport,
        progress: Progress,
        throttle: Throttle,
        mending: Mending | None,
    ) -> None:
        self._index = index
        self._pool = pool
        self._report = report
        self._progress = progress
        self._mending = mending
        self._steady = Steady(pool, report, progress, throttle)
        self.doubts = Doubts()
        self._reads = PackReads(pool, report, progress, throttle, self.doubts)
        self._mirroring = Mirroring(index, report)
        self._room = PackRoom(pool.decodings.budget)
        self.verdicts = Verdicts()
        self.places = PlaceCheck(index, pool, report, repair=mending is not None)
        self.checkbook = Checkbook(index)

    async def check(self, pack: PackRecord) -> None:
        """Check one pack; repair it where it can be and is asked for.

        What goes wrong with this pack is reported, not raised; IndexDamagedError is raised.
        """
        self._report.packs += 1
        self._report.shards += pack.n
        self.doubts.begin(pack)
        await self._until_checked(pack, self._is_checked)

    async def look_again(self, pack: PackRecord) -> None:
        """Read what was left out of a pack and is in doubt since; mend it where it is damaged.

        Errors as from `check`.
        """
        await self._until_checked(pack, self._is_looked_at_again)

    async def finish(self) -> None:
        """Write down what was checked."""
        self._report.unread = self.doubts.unread
        await self.checkbook.write()

    async def _until_checked(self, pack: PackRecord, check: _Check) -> None:
        """Check a pack; again where its shards were moved meanwhile, unless it was deleted."""
        now: PackRecord | None = pack
        try:
            with one_failure():
                while now is not None and not await check(now):
                    now = self._index.pack(pack.number)
        except IndexDamagedError:
            raise
        except ModelFloatError as error:
            log.warning("pack %s: %s", pack.id.hex(), error)
            self._report.note(
                Problem(pack.id.hex(), 0, "", f"cannot be checked: {error}", repaired=False)
            )

    def problems_of(self, number: PackNumber) -> list[Problem]:
        """What is wrong with the shards of a pack that was found lost; none for any other."""
        lost = self.verdicts.lost.get(number)
        return [] if lost is None else lost.problems

    async def _is_checked(self, pack: PackRecord) -> bool:
        """Check a pack; False where its shards are no longer where that record has them."""
        glance = Glance(self._pool, pack)
        info = None if crowded_shards(self._pool, pack) else await self._steady.look(pack, glance)
        if info is None or (
            self._mending and not await trio.to_thread.run_sync(self._mirroring.is_whole, info)
        ):
            async with self._room.holding(pack.n * pack.shard):
                return await self._look_closely(pack, glance)
        await self.places.check(pack, info.chunks)
        await self.checkbook.note(pack, list(pack.states))
        return True

    async def _is_looked_at_again(self, pack: PackRecord) -> bool:
        owed = self.doubts.owed(pack)
        async with self._room.holding(len(owed) * pack.shard):
            sound = await are_sound(self._pool, self._reads, pack, owed)
        if not sound:
            async with self._room.holding(pack.n * pack.shard):
                return await self._look_closely(pack, Glance(self._pool, pack))
        self.doubts.settle(pack, owed)
        await self.checkbook.note(pack, list(pack.states), whole=not self.doubts.left(pack))
        return True

    async def _look_closely(self, pack: PackRecord, glance: Glance) -> bool:
        found, judgement = await self._judge(pack, glance)
        now = self._index.pack(pack.number)
        if now is None or now.backends != pack.backends:
            return False
        if judgement is not None:
            await self.places.check(pack, judgement.info.chunks)
        if judgement is None or not judgement.whole:
            await self._note_lost(pack, found, judgement)
        else:
            del found
            await self._note_whole(pack, judgement)
        return True

    async def _note_whole(self, pack: PackRecord, judgement: Judgement) -> None:
        """At least k shards are sound: the others can be made from them."""
        states = await self._mend(pack, judgement)
        if not judgement.verified:
            log.error(
                "pack %s: its shards match their footers, its chunks do not match their ids: they "
                "were wrong when they were stored; add its files again to heal it",
                pack.id.hex(),
            )
            # No read is kept from it, but an add of the same bytes stores them again.
            await self.checkbook.note(pack, [ShardState.DAMAGED] * pack.n)
            await self._lose(pack, judgement, [])
            return
        await self.checkbook.note(pack, states, whole=not self.doubts.left(pack))
        if self._mending is not None:
            await self._mirroring.mend(judgement)

    async def _judge(
        self, pack: PackRecord, glance: Glance
    ) -> tuple[list[Found], Judgement | None]:
        """Read a pack and judge it; where it is mended, by no more shards than that needs."""
        none = [Found(None, b"", state) for state in pack.states]
        repairs = self._mending is not None and not crowded_shards(self._pool, pack)
        reads = self._reads
        found = await (reads.fewest(pack, glance) if repairs else reads.rest(pack, none))
        judgement = await reads.judge(found)
        doubtful = judgement is None or not judgement.whole or not judgement.verified
        if doubtful and any(shard.unread for shard in found):
            found = await reads.rest(pack, found)
            judgement = await reads.judge(found)
        self.doubts.note(pack, found, found if judgement is None else judgement.shards)
        return found, judgement

    # Mending and noting

    async def _mend(self, pack: PackRecord, judgement: Judgement) -> list[ShardState]:
        """Write anew what is wrong, where that is asked for; what the shards are then."""
        # A backend may have come back since: what was not read then cannot be moved now.
        crowded = crowded_shards(self._pool, pack)
        moves = {i: move for i, move in crowded.items() if judgement.shards[i].wanted}
        states = [shard.state for shard in judgement.shards]
        if judgement.verified and judgement.info.kind is Kind.DATA:
            # While some are written the next pack is read into the memory of the others.
            judgement.let_go(but=moves)
        for index, shard in enumerate(judgement.shards):
            if not shard.problem and index not in moves:
                continue
            problem = shard.problem or _crowded(moves[index])
            repaired = False
            if self._mending is not None:
                parts: list[Buffer] = [shard.payload, encode_tail(judgement.info, index)]
                failure = await self._mending.repairer.write(pack, index, parts, moves.get(index))
                repaired = not failure
                problem = f"{problem}; {failure}" if failure else problem
            if repaired:
                states[index] = ShardState.GOOD
            self._report.note(self._problem(pack, index, problem, repaired=repaired))
        return states

    async def _note_lost(
        self, pack: PackRecord, found: list[Found], judgement: Judgement | None
    ) -> None:
        """Fewer than k shards are sound somewhere. The states are remembered, so that the next add
        of the same bytes stores them again."""
        shards: Sequence[Found | Shard] = found if judgement is None else judgement.shards
        problems = []
        for index, shard in enumerate(shards):
            problem = shard.problem or ("" if judgement else "no footer that can be trusted")
            if problem:
                problems.append(self._problem(pack, index, problem, repaired=False))
        await self.checkbook.note(pack, [shard.state for shard in shards])
        await self._lose(pack, judgement, problems)

    async def _lose(
        self, pack: PackRecord, judgement: Judgement | None, problems: list[Problem]
    ) -> None:
        slots = frozenset(range(pack.chunk_count))
        # Without the key nobody can tell which chunks are in what is left.
        unknown = judgement is None or self._pool.members.cipher.locked
        bad = slots if unknown or judgement is None else judgement.bad
        placed = [backend for backend in pack.backends if backend != NOWHERE]
        returns = any(not self._pool.members.is_up(backend) for backend in placed)
        self.verdicts.lost[pack.number] = Lost(pack.id, bad, problems, returns)
        if self._mending is not None and judgement is not None and not returns:
            self._report.rescued += await self._mending.rescuer.chunks(judgement, slots - bad)

    def _problem(self, pack: PackRecord, index: int, problem: str, *, repaired: bool) -> Problem:
        where = pack.backends[index]
        name = "" if where == NOWHERE else self._pool.members.name_of(where)
        return Problem(pack.id.hex(), index, name, problem, repaired)


def _crowded(move: Move) -> str:
    where = "on one backend" if move.crowded == "backend" else "in one domain"
    return f"too many shards of this pack {where}"
