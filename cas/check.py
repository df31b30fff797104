"""Verify and repair: every shard of every pack read, checked block by block, and made again.

A pack's truth is what its footers agree on and its blocks confirm. Damage is mended block by block:
as long as k shards are sound at a block, that block of all others can be made again, even where no
k shards are sound from end to end. A shard that was made again is byte for byte what it was.

Memory: one pack with its parity at a time.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import trio
from blake3 import blake3

from ..backends.base import Buffer
from ..backends.keys import shard_key
from ..backends.retry import RetryBackend
from ..erasure.codec import decode
from ..erasure.scheme import Scheme
from ..errors import BackendError, DamageError, KeyNotFoundError, ModelFloatError
from ..ids import BackendId
from .codecs.registry import decode as decode_chunk
from .formats.chunktable import Kind, PackedChunk
from .formats.journal import JournalEntry, ShardPlaced
from .formats.shard import BLOCK, Footer, PackInfo, encode_tail, join_tails
from .index import Index
from .members import Member, Members
from .objectpacks import decode_objects
from .placement import place
from .pool import Pool
from .records import PackRecord, ShardState
from .reports import Progress, ShardProblem, VerifyReport
from .scrutiny import agreed, read_footers

Record = Callable[[Sequence[JournalEntry]], Awaitable[None]]
"""Appends entries to the journal."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Shard:
    """What was read of one shard: its payload and tail, or why not."""

    payload: memoryview
    tail: bytes = b""
    state: ShardState = ShardState.GOOD
    problem: str = ""
    sound: list[bool] = field(default_factory=list)


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
        self._members: Members = pool.members
        self._report = report
        self._progress = progress
        self._record = record

    async def check(self, pack: PackRecord) -> None:
        """Check one pack; repair it where it can be and is asked for."""
        self._report.packs += 1
        self._report.shards += pack.n
        shards = await self._read(pack)
        footers = await read_footers(self._pool, pack)
        info = await self._truth(pack, shards, agreed(footers))
        if info is None:
            await self._note_lost(pack, shards)
            return
        bad = [i for i, shard in enumerate(shards) if shard.problem]
        mended: set[int] = set()
        if bad or not await trio.to_thread.run_sync(chunks_verify, info, shards):
            mended = await self._mend(pack, info, shards, bad)
        await self._note(pack, info, shards, mended)

    async def _read(self, pack: PackRecord) -> list[_Shard]:
        shards = [_Shard(memoryview(b"")) for _ in range(pack.n)]

        async def read(index: int) -> None:
            shards[index] = await self._read_shard(pack, index)

        async with trio.open_nursery() as nursery:
            for index in range(pack.n):
                nursery.start_soon(read, index)
        return shards

    async def _read_shard(self, pack: PackRecord, index: int) -> _Shard:
        empty = memoryview(bytearray(pack.shard))
        member = self._pool.holder(pack, index)
        if member is None:
            return _Shard(empty, state=ShardState.MISSING, problem="its backend is gone")
        if member.down:
            return _Shard(empty, state=ShardState.GOOD, problem="its backend is down")
        try:
            data = await member.backend.get(self._pool.key(pack, index))
        except KeyNotFoundError:
            return _Shard(empty, state=ShardState.MISSING, problem="missing")
        except BackendError as error:
            self._members.note_failure(member, error)
            return _Shard(empty, state=ShardState.DAMAGED, problem=f"cannot be read: {error}")
        self._report.bytes_read += len(data)
        self._progress.advance(len(data), f"pack {pack.id.hex()[:8]}")
        if len(data) < pack.shard:
            whole = bytearray(pack.shard)
            whole[: len(data)] = data
            return _Shard(memoryview(whole), b"", ShardState.DAMAGED, "truncated")
        view = memoryview(data)
        return _Shard(view[: pack.shard], bytes(view[pack.shard :]))

    async def _truth(
        self, pack: PackRecord, shards: list[_Shard], versions: list[Footer]
    ) -> PackInfo | None:
        """What the pack's footers say, by the version that the blocks confirm; marks the shards."""
        for footer in versions:
            info = join_tails([footer])
            if info is None or (info.pack, info.k, info.m) != (pack.id, pack.k, pack.m):
                continue
            await trio.to_thread.run_sync(_mark, info, shards)
            blocks = range(len(shards[0].sound))
            if all(sum(shard.sound[b] for shard in shards) >= pack.k for b in blocks):
                return info
        return None

    async def _mend(
        self, pack: PackRecord, info: PackInfo, shards: list[_Shard], bad: list[int]
    ) -> set[int]:
        await trio.to_thread.run_sync(_rebuild, info, shards)
        if not await trio.to_thread.run_sync(chunks_verify, info, shards):
            raise DamageError(
                f"pack {pack.id.hex()}: its shards match their footers, its chunks do not match "
                "their ids; add its files again to heal it"
            )
        if self._record is None:
            return set()
        return {index for index in bad if await self._write(pack, info, shards, index)}

    async def _write(
        self, pack: PackRecord, info: PackInfo, shards: list[_Shard], index: int
    ) -> bool:
        """Store one shard again, where it was or on a backend that has none of this pack."""
        member = self._pool.holder(pack, index)
        if member is None or member.down:
            member = self._new_place(pack, index)
            if member is None:
                return False
        key = shard_key(info.pack, index, info.k, info.m)
        parts: list[Buffer] = [shards[index].payload, encode_tail(info, index)]
        try:
            await RetryBackend(member.backend).put(key, parts)
        except BackendError as error:
            log.warning("shard %d of pack %s: %s", index, pack.id.hex(), error)
            return False
        if member.id != pack.backends[index] and self._record is not None:
            await self._record([ShardPlaced(pack.id, index, member.id)])
        return True

    def _new_place(self, pack: PackRecord, index: int) -> Member | None:
        now = self._index.pack(pack.number) or pack
        taken = set(now.backends)
        free = [m.candidate for m in self._members.up() if m.id not in taken]
        places = place(pack.id + bytes([index]), free, 1)
        return self._members.get(BackendId(places[0])) if places else None

    async def _note(
        self, pack: PackRecord, info: PackInfo, shards: list[_Shard], mended: set[int]
    ) -> None:
        for index, shard in enumerate(shards):
            if shard.problem:
                self._note_problem(pack, index, shard, index in mended)
        if info.kind is Kind.OBJECT and self._record is not None:
            await self._mirror(info, shards)
        states = [
            ShardState.GOOD if index in mended else shard.state
            for index, shard in enumerate(shards)
        ]
        await self._index.write(self._index.note_check, pack.number, states, time.time_ns())

    def _note_problem(self, pack: PackRecord, index: int, shard: _Shard, repaired: bool) -> None:
        name = self._members.name_of(pack.backends[index])
        self._report.problems.append(
            ShardProblem(pack.id.hex(), index, name, shard.problem, repaired)
        )

    async def _note_lost(self, pack: PackRecord, shards: list[_Shard]) -> None:
        for index, shard in enumerate(shards):
            if shard.problem:
                self._note_problem(pack, index, shard, repaired=False)
        self._report.lost.append(pack.id.hex())
        # Remembered, so that the next add of the same bytes stores them again.
        states = [shard.state for shard in shards]
        await self._index.write(self._index.note_check, pack.number, states, time.time_ns())

    async def _mirror(self, info: PackInfo, shards: list[_Shard]) -> None:
        """Put objects that the index's mirror lacks back into it."""
        data = memoryview(b"".join(shards[i].payload for i in range(info.k)))
        objects = await trio.to_thread.run_sync(decode_objects, data, info.chunks)
        missing = {id_: body for id_, body in objects.items() if self._index.object(id_) != body}
        if missing:
            await self._index.write(self._index.put_objects, missing)


def _mark(info: PackInfo, shards: list[_Shard]) -> None:
    """Compare every block and tail with what the footers agree on."""
    for index, shard in enumerate(shards):
        expected = info.blocks[index]
        found = [
            blake3(shard.payload[at : at + BLOCK]).digest() for at in range(0, info.shard, BLOCK)
        ]
        absent = bool(shard.problem) and shard.problem != "truncated"
        shard.sound = [
            not absent and digest == expected[32 * b : 32 * b + 32]
            for b, digest in enumerate(found)
        ]
        if shard.problem:
            continue
        wrong = [str(b) for b, sound in enumerate(shard.sound) if not sound]
        if wrong:
            shard.problem = f"damaged in block {', '.join(wrong[:8])}"
        elif shard.tail != encode_tail(info, index):
            shard.problem = "damaged footer or trailer"
        if shard.problem:
            shard.state = ShardState.DAMAGED


def _rebuild(info: PackInfo, shards: list[_Shard]) -> None:
    """Make every block that is not sound again, in place."""
    scheme = Scheme(info.k, info.m)
    for block in range(len(shards[0].sound)):
        start, end = block * BLOCK, min((block + 1) * BLOCK, info.shard)
        present = {i: s.payload[start:end] for i, s in enumerate(shards) if s.sound[block]}
        wanted: dict[int, memoryview] = {}
        for i, shard in enumerate(shards):
            if not shard.sound[block]:
                if shard.payload.readonly:
                    shard.payload = memoryview(bytearray(shard.payload))
                wanted[i] = shard.payload[start:end]
        decode(scheme, present, wanted)


def chunks_verify(info: PackInfo, shards: list[_Shard]) -> bool:
    """Whether every chunk of the pack decodes to its id."""
    return all(_verifies(chunk, info, shards) for chunk in info.chunks)


def _verifies(chunk: PackedChunk, info: PackInfo, shards: list[_Shard]) -> bool:
    first, start = divmod(chunk.offset, info.shard)
    last = (chunk.offset + chunk.stored - 1) // info.shard
    if first == last:
        data = shards[first].payload[start : start + chunk.stored]
    else:
        joined = b"".join(shards[i].payload for i in range(first, last + 1))
        data = memoryview(joined)[start : start + chunk.stored]
    if chunk.codec:
        out = memoryview(bytearray(chunk.raw))
        try:
            decode_chunk(chunk.codec, data, out)
        except ModelFloatError:
            return False
        data = out
    return blake3(data).digest() == chunk.id
