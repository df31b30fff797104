"""Checking packs: those that are well in passing, any other one looked at closely and mended.

A pack's truth is what its footers agree on and its blocks and chunks confirm (`judgement`). A pack
that cannot be had, or was wrong when it was sealed, is reported, and the next one checked; what can
still be had of it is stored again where a repair is asked for.

Memory: packs in passing take little (`steady`); others are held as a whole, with their parity and
what damage makes again, as many at once as the memory budget has room for.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from ...backends.base import Buffer
from ...errors import IndexDamagedError, ModelFloatError, one_failure
from ...ids import ObjectId, PackNumber
from ..formats.chunktable import Kind
from ..formats.journal import NOWHERE
from ..formats.shard import PackInfo, encode_tail
from ..index.checkbook import Checkbook
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from ..packs.objectpacks import decode_objects
from ..packs.placement import Move
from ..packs.pool import Pool
from ..reports import Problem, Progress, VerifyReport
from .glance import Glance
from .judgement import Found, Judgement, Shard
from .needs import Lost, Verdicts
from .packreads import PackReads, PackRoom
from .placecheck import PlaceCheck
from .repair import Repairer, crowded_shards
from .rescue import Rescuer
from .steady import Steady
from .throttle import Throttle

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
        self._reads = PackReads(pool, report, progress, throttle)
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
        try:
            with one_failure():
                await self._check(pack)
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

    async def _check(self, pack: PackRecord) -> None:
        """Check a pack; again where its shards were moved meanwhile, unless it was deleted."""
        now: PackRecord | None = pack
        while now is not None and not await self._is_checked(now):
            now = self._index.pack(pack.number)

    async def _is_checked(self, pack: PackRecord) -> bool:
        """Check a pack; False where its shards are no longer where that record has them."""
        glance = Glance(self._pool, pack)
        info = None if crowded_shards(self._pool, pack) else await self._steady.look(pack, glance)
        if info is None or not await trio.to_thread.run_sync(self._is_mirrored, info):
            async with self._room.holding(pack.n * pack.shard):
                return await self._look_closely(pack, glance)
        await self.places.check(pack, info.chunks)
        await self.checkbook.note(pack, list(pack.states))
        return True

    def _is_mirrored(self, info: PackInfo) -> bool:
        """Whether a repair need not look at the pack's objects: the index's mirror has them."""
        if self._mending is None or info.kind is not Kind.OBJECT:
            return True
        index = self._index
        wanted = [ObjectId(chunk.id) for chunk in info.chunks]
        return all(
            (body := index.object(id_)) is not None and index.ids.object(body) == id_
            for id_ in wanted
        )

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
            whole = not any(shard.unread for shard in found)
            del found
            await self._note_whole(pack, judgement, whole)
        return True

    async def _note_whole(self, pack: PackRecord, judgement: Judgement, whole: bool) -> None:
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
        await self.checkbook.note(pack, states, whole=whole)
        if judgement.info.kind is Kind.OBJECT and self._mending is not None:
            await self._mirror(judgement)

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
        self._report.unread += sum(shard.unread for shard in found)
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
        bad = slots if judgement is None else judgement.bad
        placed = [backend for backend in pack.backends if backend != NOWHERE]
        returns = any(not self._pool.members.is_up(backend) for backend in placed)
        self.verdicts.lost[pack.number] = Lost(pack.id, bad, problems, returns)
        if self._mending is not None and judgement is not None and not returns:
            self._report.rescued += await self._mending.rescuer.chunks(judgement, slots - bad)

    def _problem(self, pack: PackRecord, index: int, problem: str, *, repaired: bool) -> Problem:
        where = pack.backends[index]
        name = "" if where == NOWHERE else self._pool.members.name_of(where)
        return Problem(pack.id.hex(), index, name, problem, repaired)

    async def _mirror(self, judgement: Judgement) -> None:
        """Put objects that the index's mirror lacks back into it."""
        info = judgement.info
        data = memoryview(b"".join(judgement.shards[i].payload for i in range(info.k)))
        objects = await trio.to_thread.run_sync(decode_objects, data, info.chunks)
        missing = {id_: body for id_, body in objects.items() if self._index.object(id_) != body}
        if missing:
            await self._index.write(self._index.put_objects, missing)
            problem = f"objects missing or damaged in the index: {len(missing):,}"
            self._report.note(Problem(info.pack.hex(), 0, "", problem, True, "index"))


def _crowded(move: Move) -> str:
    where = "on one backend" if move.crowded == "backend" else "in one domain"
    return f"too many shards of this pack {where}"
