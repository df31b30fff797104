"""Shards moved to other backends: copied, then recorded, then deleted where they were.

A copy is taken only if it is what its footer says; else the shard is made again from k others. So
a crash at any point leaves a shard where the index says that it is, and at worst a second one,
which the next run writes over or `gc` deletes.
"""

import logging
from collections.abc import Sequence

import trio

from ...backends.base import Buffer
from ...ids import BackendId
from ..formats.shard import encode_tail, hash_blocks
from ..index.records import PackRecord, ShardState
from ..packs.placement import Move
from ..packs.pool import Pool
from ..progress import Progress
from .glance import Glance
from .judgement import Found
from .moveplan import Moves
from .movereport import MoveReport
from .packreads import PackReads
from .repair import Repairer
from .report import Problem
from .shardread import absent

log = logging.getLogger(__name__)


class Mover:
    """Moves shards of packs, and counts in `report`."""

    def __init__(
        self,
        pool: Pool,
        repairer: Repairer,
        reads: PackReads,
        report: MoveReport,
        progress: Progress,
    ) -> None:
        self._pool = pool
        self._repairer = repairer
        self._reads = reads
        self._report = report
        self._progress = progress

    async def move(self, pack: PackRecord, moves: Moves) -> None:
        """Move shards of one pack; what cannot be moved is among the report's problems."""
        remade: list[int] = []
        for index, to in moves.items():
            parts = await self._copy(pack, index)
            if parts is None:
                remade.append(index)
            else:
                await self._write(pack, index, parts, to)
        if remade:
            await self._remake(pack, {index: moves[index] for index in remade})

    async def _copy(self, pack: PackRecord, index: int) -> list[Buffer] | None:
        """A shard as it lies there; None where it cannot be had, or is not sound."""
        if absent(self._pool, pack, index) is not None:
            return None
        found = await self._reads.one(pack, index)
        sound = await trio.to_thread.run_sync(_is_sound, found, index)
        return [found.payload, found.tail] if sound and found.payload is not None else None

    async def _remake(self, pack: PackRecord, moves: Moves) -> None:
        """Move shards that cannot be copied: made from k others."""
        found = await self._reads.fewest(pack, Glance(self._pool, pack), frozenset(moves))
        judgement = await self._reads.judge(found)
        if (judgement is None or not judgement.whole) and any(f.unread for f in found):
            found = await self._reads.rest(pack, found)
            judgement = await self._reads.judge(found)
        for index, to in moves.items():
            if judgement is None or not judgement.whole:
                why = "too little is left of its pack; see `modelfloat verify`"
                self._note(pack, index, why)
                continue
            parts: list[Buffer] = [
                judgement.shards[index].payload,
                encode_tail(judgement.info, index),
            ]
            written = await self._write(pack, index, parts, to)
            self._report.remade += written

    async def _write(
        self, pack: PackRecord, index: int, parts: Sequence[Buffer], to: BackendId
    ) -> bool:
        size = sum(len(part) for part in parts)
        failure = await self._repairer.write(pack, index, parts, Move(to, ""))
        if failure:
            self._note(pack, index, failure)
            return False
        self._report.shards += 1
        self._report.bytes += size
        self._progress.advance(size, f"pack {pack.id.hex()[:8]}")
        return True

    def _note(self, pack: PackRecord, index: int, problem: str) -> None:
        name = self._pool.members.name_of(pack.backends[index])
        log.warning("shard %d of pack %s stays on %s: %s", index, pack.id.hex(), name, problem)
        self._report.note(Problem(pack.id.hex(), index, name, problem, repaired=False))


def _is_sound(found: Found, index: int) -> bool:
    """Whether a shard is what its own footer says of it."""
    if found.payload is None or found.problem or found.state is not ShardState.GOOD:
        return False
    footer = found.footer
    if footer is None or footer.index != index:
        return False
    return footer.blocks[index] == hash_blocks(found.payload)
