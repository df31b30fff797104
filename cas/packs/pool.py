"""The pool: shards out to the backends and ranges of packs back in, whatever is missing.

Reading prefers the data shards themselves; only a shard that is missing, unreachable or damaged
makes it fetch other shards' ranges and decode. Reads do not retry: parity is quicker than waiting.
What a check recorded of a shard orders them only: one that was found damaged or missing is asked
last, since most of it may be sound, and it may have come back.

Concurrency: all shards of one call are in flight at once; each backend limits its own. Nothing is
locked. CPU work runs in worker threads.
"""

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.keys import shard_key
from ...erasure.codec import decode
from ...erasure.scheme import Scheme
from ...errors import BackendError, CorruptAnswerError, DataLostError, KeyNotFoundError
from ...ids import Key
from ..buffers import BufferPool, SizedBuffers
from ..formats.journal import PackStored
from ..index.records import PackRecord, ShardState
from .builder import SealedPack
from .members import Member, Members
from .storing import PackStorer

SCRATCH: Final = 4 << 20
"""Longest range, bytes, that `load` is asked for at once."""

Sighting = Callable[[PackRecord, int, ShardState], None]
"""Hears of a shard that a read found missing or damaged."""

log = logging.getLogger(__name__)


def _uncounted(_size: int) -> None:
    """For pools of which nobody counts what they fetch."""


def _unseen(_pack: PackRecord, _index: int, _state: ShardState) -> None:
    """For pools of which nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a pack's range that lies in one shard; offsets and size in bytes."""

    shard: int
    offset: int
    start: int
    size: int


def split_range(record: PackRecord, offset: int, size: int) -> list[Piece]:
    """The data shards' ranges that make the pack's bytes [offset, offset+size)."""
    pieces = []
    start = 0
    while start < size:
        shard, at = divmod(offset + start, record.shard)
        length = min(size - start, record.shard - at)
        pieces.append(Piece(shard, at, start, length))
        start += length
    return pieces


def _taking(buffers: SizedBuffers, size: int) -> Callable[[int], memoryview]:
    """A fresh buffer of `size` bytes for every shard that is asked for."""
    return lambda _index: buffers.take(size)


class Pool:
    """Stores and loads packs over the store's members.

    `seen` hears of shards found wrong, `fetched` of the bytes of each range that came.
    """

    def __init__(
        self,
        members: Members,
        seen: Sighting = _unseen,
        fetched: Callable[[int], None] = _uncounted,
    ) -> None:
        self.members = members
        self.seen = seen
        self.fetched = fetched
        self._storer = PackStorer(members)
        self._scratch = SizedBuffers(SCRATCH, SCRATCH // 4, count=16)

    def usable(self, record: PackRecord, index: int) -> bool:
        """Whether shard `index` should be there: known good, on a backend that is up."""
        return record.states[index] is ShardState.GOOD and self.members.is_up(
            record.backends[index]
        )

    def healthy(self, record: PackRecord, offset: int, size: int) -> bool:
        """Whether that range can be read without decoding, and the pack is whole enough to repair,
        as far as is known."""
        usable = [self.usable(record, i) for i in range(record.n)]
        if sum(usable) < record.k:
            return False
        return record.k == 1 or all(usable[p.shard] for p in split_range(record, offset, size))

    # Storing

    async def store(self, pack: SealedPack) -> PackStored:
        """Make all shards of a pack durable, and say where they are; see `PackStorer.store`.

        Nothing is announced here: that is the journal's.
        """
        return await self._storer.store(pack)

    # Loading

    async def load(
        self, record: PackRecord, offset: int, size: int, take: Callable[[int], memoryview]
    ) -> memoryview:
        """The pack's bytes [offset, offset+size), in memory from `take`; decoded where needed.

        DataLostError when fewer than k shards can be read. What is delivered is not verified.
        """
        out = take(size)
        pieces = split_range(record, offset, size)
        if len(pieces) == 1:
            failed = [] if await self._fetch_piece(record, pieces[0], out) else pieces
        else:
            failed = []

            async def fetch(piece: Piece) -> None:
                part = out[piece.start : piece.start + piece.size]
                if not await self._fetch_piece(record, piece, part):
                    failed.append(piece)

            async with trio.open_nursery() as nursery:
                for piece in pieces:
                    nursery.start_soon(fetch, piece)
        return await self._without(record, failed, out, take) if failed else out

    async def _without(
        self,
        record: PackRecord,
        failed: list[Piece],
        tainted: memoryview,
        take: Callable[[int], memoryview],
    ) -> memoryview:
        """Decode the failed pieces, into other memory: a read that was given up, because its
        deadline had passed, may still write to the buffer it was given."""
        out = take(len(tainted))
        out[:] = tainted
        for piece in failed:
            part = out[piece.start : piece.start + piece.size]
            try:
                await self.rebuild(record, piece.shard, piece.offset, part)
            except DataLostError:
                # Its own shard, known to be damaged, may be sound here.
                if not await self._fetch(record, piece.shard, piece.offset, part):
                    raise
        return out

    async def _fetch_piece(self, record: PackRecord, piece: Piece, out: memoryview) -> bool:
        # Every shard of a replicated pack holds the same bytes, so any of them will do.
        if record.k == 1:
            likely = self._candidates(record, frozenset())[:1]
        else:
            likely = [piece.shard] if self.usable(record, piece.shard) else []
        return bool(likely) and await self._fetch(record, likely[0], piece.offset, out)

    async def rebuild(
        self,
        record: PackRecord,
        shard: int,
        offset: int,
        out: memoryview,
        *,
        without: frozenset[int] = frozenset(),
    ) -> None:
        """Fill `out` with shard `shard` from `offset` on, from any k others but those `without`."""
        for start in range(0, len(out), SCRATCH):
            part = out[start : start + SCRATCH]
            # A copy is as good as any other; a part of a shard is made from the others.
            own = frozenset[int]() if record.k == 1 else frozenset({shard})
            candidates = self._candidates(record, without | own)
            present = await self._collect(
                record, offset + start, candidates, _taking(self._scratch, len(part))
            )
            if record.k == 1:
                part[:] = next(iter(present.values()))
                continue
            scheme = Scheme(record.k, record.m)
            await trio.to_thread.run_sync(decode, scheme, present, {shard: part})

    async def load_whole(self, record: PackRecord, out: memoryview, spare: BufferPool) -> None:
        """Fill `out` (k·S bytes) with all data shards end to end; lost ones are decoded.

        For a sequential reader of a degraded pack: it reads k shards once, whatever is missing.
        DataLostError already when one of the first k fails: `out` may then be written to later.
        `spare` gives slots of at least S bytes for parity.
        """
        size = record.shard
        parts = {i: out[i * size : (i + 1) * size] for i in range(record.k)}

        def buffer_of(index: int) -> memoryview:
            return parts[index] if index in parts else spare.take()[:size]

        candidates = self._candidates(record, frozenset())[: record.k]
        present = await self._collect(record, 0, candidates, buffer_of)
        wanted = {i: part for i, part in parts.items() if i not in present}
        await trio.to_thread.run_sync(decode, Scheme(record.k, record.m), present, wanted)

    def _candidates(self, record: PackRecord, without: frozenset[int]) -> list[int]:
        """Shards to ask, those that are known good first."""
        there = [
            i
            for i in range(record.n)
            if i not in without and self.members.is_up(record.backends[i])
        ]
        return sorted(there, key=lambda i: record.states[i] is not ShardState.GOOD)

    async def _collect(
        self,
        record: PackRecord,
        offset: int,
        candidates: list[int],
        buffer_of: Callable[[int], memoryview],
    ) -> dict[int, memoryview]:
        """Ranges from `offset` on of any k of the candidates, those first in the list preferred."""
        present: dict[int, memoryview] = {}

        async def fetch(index: int) -> None:
            buffer = buffer_of(index)
            if await self._fetch(record, index, offset, buffer):
                present[index] = buffer

        while len(present) < record.k:
            missing = record.k - len(present)
            if missing > len(candidates):
                raise self.lost(record, {*present, *candidates})
            batch, candidates = candidates[:missing], candidates[missing:]
            async with trio.open_nursery() as nursery:
                for index in batch:
                    nursery.start_soon(fetch, index)
        return present

    async def _fetch(self, record: PackRecord, index: int, offset: int, out: memoryview) -> bool:
        """Fill `out` from one shard; False, with the reason logged, when that fails."""
        member = self.members.get(record.backends[index])
        if member is None or member.down:
            return False
        try:
            await member.backend.get_into(self.key(record, index), offset, out)
        except BackendError as error:
            self.members.note_failure(member, error)
            log.info("shard %d of pack %s: %s", index, record.id.hex(), error)
            if isinstance(error, KeyNotFoundError | CorruptAnswerError):
                missing = isinstance(error, KeyNotFoundError)
                self.seen(record, index, ShardState.MISSING if missing else ShardState.DAMAGED)
            return False
        self.fetched(len(out))
        return True

    def key(self, record: PackRecord, index: int) -> Key:
        """The key of one shard."""
        return shard_key(record.id, index, record.k, record.m)

    def holder(self, record: PackRecord, index: int) -> Member | None:
        """The member that shard `index` is recorded on."""
        return self.members.get(record.backends[index])

    def lost(self, record: PackRecord, left: AbstractSet[int]) -> DataLostError:
        """The error for a pack of which only the shards `left` can be read."""
        down = ", ".join(sorted(m.name for m in self.members.down()))
        verb = "are" if ", " in down else "is"
        gone = self._shards(record, left)
        return DataLostError(
            f"pack {record.id.hex()}: {len(gone)} of {record.n} shards are gone, "
            f"{record.k} are needed (gone: {', '.join(gone)})"
            + (f"; run `modelfloat verify --repair` when {down} {verb} back" if down else "")
        )

    def gone(self, record: PackRecord) -> list[str]:
        """Shards of a pack that cannot be had now, as far as is known, and where they were."""
        return self._shards(record, {i for i in range(record.n) if self.usable(record, i)})

    def _shards(self, record: PackRecord, left: AbstractSet[int]) -> list[str]:
        return [
            f"{i} on {self.members.name_of(record.backends[i])}"
            for i in range(record.n)
            if i not in left
        ]
