"""Verify: every shard of every pack read, checked block by block, and made again if asked.

A pack's truth is what its footers agree on and its blocks and chunks confirm (`cas.judgement`). A
pack that cannot be had, or was wrong when it was sealed, is reported, and the next one checked.

Memory: one pack with its parity at a time, and what damage makes again.
"""

import logging
import time
from collections.abc import Sequence

import trio

from ..errors import (
    BackendError,
    CorruptAnswerError,
    FormatError,
    IndexDamagedError,
    KeyNotFoundError,
    ModelFloatError,
    ShardDamagedError,
    one_failure,
)
from .formats.chunktable import Kind
from .formats.journal import NOWHERE
from .formats.shard import Footer
from .index import Index
from .judgement import Found, Judgement, Shard, judge
from .objectpacks import decode_objects
from .placement import Move
from .pool import Pool
from .records import PackRecord, ShardState
from .repair import Record, Repairer, crowded_shards
from .reports import Progress, ShardProblem, VerifyReport
from .scrutiny import agreed, footer_of

log = logging.getLogger(__name__)


class Checker:
    """Checks packs one by one. With `record`, it repairs, and records where shards were placed."""

    def __init__(
        self,
        index: Index,
        pool: Pool,
        report: VerifyReport,
        progress: Progress,
        record: Record | None,
    ) -> None:
        self._index = index
        self._pool = pool
        self._report = report
        self._progress = progress
        self._repairer = None if record is None else Repairer(index, pool, record)

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
            self._report.problems.append(
                ShardProblem(pack.id.hex(), 0, "", f"cannot be checked: {error}", repaired=False)
            )

    async def _check(self, pack: PackRecord) -> None:
        found = await self._read(pack)
        versions = agreed({i: f.footer for i, f in enumerate(found) if f.footer is not None})
        judgement = await trio.to_thread.run_sync(judge, found, versions)
        if judgement is None or not judgement.whole:
            await self._note_lost(pack, found, judgement)
            return
        await self._mend(pack, judgement)
        if not judgement.verified:
            log.error(
                "pack %s: its shards match their footers, its chunks do not match their ids: they "
                "were wrong when they were stored; add its files again to heal it",
                pack.id.hex(),
            )
            self._report.lost.append(pack.id.hex())
            # No read is kept from it, but an add of the same bytes stores them again.
            await self._remember(pack, [ShardState.DAMAGED] * pack.n)
        elif judgement.info.kind is Kind.OBJECT and self._repairer is not None:
            await self._mirror(judgement)

    # Reading

    async def _read(self, pack: PackRecord) -> list[Found]:
        found: dict[int, Found] = {}

        async def read(index: int) -> None:
            found[index] = await self._read_shard(pack, index)

        async with trio.open_nursery() as nursery:
            for index in range(pack.n):
                nursery.start_soon(read, index)
        return [found[index] for index in range(pack.n)]

    async def _read_shard(self, pack: PackRecord, index: int) -> Found:
        member = self._pool.holder(pack, index)
        known = pack.states[index]
        if member is None:
            never = pack.backends[index] == NOWHERE
            problem = "was never stored" if never else "its backend is gone"
            return Found(None, b"", ShardState.MISSING, problem)
        if member.down:
            return Found(None, b"", known, "its backend is down")
        try:
            data = await member.backend.get(self._pool.key(pack, index))
        except KeyNotFoundError:
            return Found(None, b"", ShardState.MISSING, "missing")
        except BackendError as error:
            self._pool.members.note_failure(member, error)
            # An outage, a refusal: that says nothing about the shard.
            state = ShardState.DAMAGED if isinstance(error, CorruptAnswerError) else known
            return Found(None, b"", state, f"cannot be read: {error}")
        self._report.bytes_read += len(data)
        self._progress.advance(len(data), f"pack {pack.id.hex()[:8]}")
        if len(data) < pack.shard:
            whole = data + bytes(pack.shard - len(data))
            return Found(memoryview(whole), b"", ShardState.DAMAGED, "truncated")
        view = memoryview(data)
        payload, tail = view[: pack.shard], bytes(view[pack.shard :])
        what = f"shard {index} of pack {pack.id.hex()} on {member.name}"
        return Found(payload, tail, ShardState.GOOD, footer=self._footer(pack, index, tail, what))

    def _footer(self, pack: PackRecord, index: int, tail: bytes, what: str) -> Footer | None:
        try:
            return footer_of(self._pool.members.store, pack, index, tail, what)
        except (ShardDamagedError, FormatError) as error:
            log.info("%s", error)
            return None

    # Mending and noting

    async def _mend(self, pack: PackRecord, judgement: Judgement) -> None:
        moves = crowded_shards(self._pool, pack)
        states = [shard.state for shard in judgement.shards]
        for index, shard in enumerate(judgement.shards):
            if not shard.problem and index not in moves:
                continue
            problem = shard.problem or _crowded(moves[index])
            repaired = False
            if self._repairer is not None:
                failure = await self._repairer.write(pack, judgement, index, moves.get(index))
                repaired = not failure
                problem = f"{problem}; {failure}" if failure else problem
            if repaired:
                states[index] = ShardState.GOOD
            self._note(pack, index, problem, repaired=repaired)
        await self._remember(pack, states)

    async def _note_lost(
        self, pack: PackRecord, found: list[Found], judgement: Judgement | None
    ) -> None:
        """Fewer than k shards are sound somewhere. The states are remembered, so that the next add
        of the same bytes stores them again."""
        shards: Sequence[Found | Shard] = found if judgement is None else judgement.shards
        for index, shard in enumerate(shards):
            problem = shard.problem or ("" if judgement else "no footer that can be trusted")
            if problem:
                self._note(pack, index, problem, repaired=False)
        self._report.lost.append(pack.id.hex())
        await self._remember(pack, [shard.state for shard in shards])

    def _note(self, pack: PackRecord, index: int, problem: str, *, repaired: bool) -> None:
        where = pack.backends[index]
        name = "" if where == NOWHERE else self._pool.members.name_of(where)
        self._report.problems.append(ShardProblem(pack.id.hex(), index, name, problem, repaired))

    async def _remember(self, pack: PackRecord, states: list[ShardState]) -> None:
        await self._index.write(self._index.note_check, pack.number, states, time.time_ns())

    async def _mirror(self, judgement: Judgement) -> None:
        """Put objects that the index's mirror lacks back into it."""
        info = judgement.info
        data = memoryview(b"".join(judgement.shards[i].payload for i in range(info.k)))
        objects = await trio.to_thread.run_sync(decode_objects, data, info.chunks)
        missing = {id_: body for id_, body in objects.items() if self._index.object(id_) != body}
        if missing:
            await self._index.write(self._index.put_objects, missing)


def _crowded(move: Move) -> str:
    where = "on one backend" if move.crowded == "backend" else "in one domain"
    return f"too many shards of this pack {where}"
