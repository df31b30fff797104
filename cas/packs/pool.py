"""The pool: shards out to the backends and ranges of packs back in, whatever is missing or slow.

Reading prefers the data shards themselves; only a shard that is missing, unreachable, damaged or
late makes it fetch other shards' ranges and decode. Reads do not retry: parity is quicker than
waiting. What a check recorded of a shard orders them only: one that was found damaged or missing is
asked last, since most of it may be sound, and it may have come back. So is one on a backend that is
slower than its peers.

Concurrency: all shards of one call are in flight at once; each backend limits its own. Nothing is
locked. CPU work runs in worker threads. What memory decoding takes at once is bounded.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from ...errors import DataLostError, one_failure
from ...ids import Key
from ..buffers import BufferPool, SizedBuffers
from ..formats.journal import PackStored
from ..index.records import PackRecord
from .alarms import Alarms
from .builder import SealedPack
from .decodings import SCRATCH as SCRATCH
from .decodings import Boundless, Budget, Decodings
from .fetching import Fetched, Fetcher, Sighting, uncounted, unseen
from .gathering import Gatherer
from .hedging import Hedges
from .lateness import Clock
from .members import Member, Members
from .peers import Peers
from .rebuilding import Rebuilder
from .shards import Shards, key_of
from .storing import SPARE, PackStorer

PROBE: Final = 1 << 20
"""Longest range, bytes, by which a backend that was demoted is probed."""


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


class Pool:
    """Stores and loads packs over the store's members.

    `seen` hears of shards found wrong, `fetched` of each range that came; what decoding takes is
    charged to `budget`.
    """

    def __init__(
        self,
        members: Members,
        seen: Sighting = unseen,
        fetched: Fetched = uncounted,
        budget: Budget | None = None,
    ) -> None:
        self.members = members
        self.decodings = Decodings(budget or Boundless())
        self._peers = Peers(members)
        self._alarms = Alarms()
        self._shards = Shards(members)
        clock = Clock(self._peers, self._alarms)
        self._fetcher = Fetcher(self._shards, self._peers, seen, fetched)
        self._rebuilder = Rebuilder(Gatherer(self._fetcher, clock), self.decodings)
        self._hedges = Hedges(self._fetcher, clock)
        self._storer = PackStorer(members)
        self._scratch = SizedBuffers(PROBE, count=1)

    async def watch(self) -> None:
        """Hedge reads that are late, and ask slow backends last, for as long as this runs."""
        self._peers.judging = True
        try:
            await self._alarms.run()
        finally:
            self._peers.judging = False

    @property
    def seen(self) -> Sighting:
        """Hears of shards that are found wrong."""
        return self._fetcher.seen

    @property
    def fetched(self) -> Fetched:
        """Hears of the bytes of each range that came."""
        return self._fetcher.fetched

    # What is where; see `Shards`

    def usable(self, record: PackRecord, index: int) -> bool:
        """Whether shard `index` should be there: known good, on a backend that is up."""
        return self._shards.usable(record, index)

    def prompt(self, record: PackRecord, index: int) -> bool:
        """Whether it is also better read than made from others: see `Shards.prompt`."""
        return self._shards.prompt(record, index)

    def healthy(self, record: PackRecord, offset: int, size: int) -> bool:
        """Whether that range can be read without decoding, and the pack is whole enough to repair,
        as far as is known."""
        usable = [self.usable(record, i) for i in range(record.n)]
        if sum(usable) < record.k:
            return False
        return record.k == 1 or all(usable[p.shard] for p in split_range(record, offset, size))

    def key(self, record: PackRecord, index: int) -> Key:
        """The key of one shard."""
        return key_of(record, index)

    def holder(self, record: PackRecord, index: int) -> Member | None:
        """The member that shard `index` is recorded on."""
        return self._shards.holder(record, index)

    def lost(self, record: PackRecord, left: AbstractSet[int]) -> DataLostError:
        """The error for a pack of which only the shards `left` can be read."""
        return self._shards.lost(record, left)

    def gone(self, record: PackRecord) -> list[str]:
        """Shards of a pack that cannot be had now, as far as is known, and where they were."""
        return self._shards.gone(record)

    # Storing

    async def store(self, pack: SealedPack, spare: int = SPARE) -> PackStored:
        """Make all shards of a pack durable, and say where they are; see `PackStorer.store`.

        Nothing is announced here: that is the journal's.
        """
        return await self._storer.store(pack, spare)

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
            return await self._piece(record, pieces[0], out, take)
        parts = [out[piece.start : piece.start + piece.size] for piece in pieces]
        found = list(parts)

        async def fetch(number: int) -> None:
            found[number] = await self._piece(record, pieces[number], parts[number], take)

        with one_failure():
            async with trio.open_nursery() as nursery:
                for number in range(len(pieces)):
                    nursery.start_soon(fetch, number)
        if all(is_ is part for is_, part in zip(found, parts, strict=True)):
            return out
        # A read that was given up may still write to the memory that it had.
        out = take(size)
        for piece, data in zip(pieces, found, strict=True):
            out[piece.start : piece.start + piece.size] = data
        return out

    async def _piece(
        self,
        record: PackRecord,
        piece: Piece,
        out: memoryview,
        take: Callable[[int], memoryview],
    ) -> memoryview:
        """The bytes of one piece: in `out` if they came from its shard, else in other memory."""
        try:
            return await self._piece_now(record, piece, out, take)
        except DataLostError:
            # What was down a moment ago may be there again.
            if not await self.members.look_again():
                raise
        return await self._piece_now(record, piece, take(piece.size), take)

    async def _piece_now(
        self,
        record: PackRecord,
        piece: Piece,
        out: memoryview,
        take: Callable[[int], memoryview],
    ) -> memoryview:
        if self._peers.any_demoted:
            self._probe(record, piece.offset, piece.size)
        first = self._first(record, piece)

        async def make(without: frozenset[int]) -> memoryview:
            part = take(piece.size)
            await self._rebuilder.rebuild(record, piece.shard, piece.offset, part, without=without)
            return part

        if first is not None:
            found = await self._hedges.fetch(record, first, piece.offset, out, make)
            if found is not None:
                return found
        own = piece.shard if first is None else first
        try:
            return await make(frozenset({own}))
        except DataLostError:
            # Its own shard, known to be damaged or slow, may be sound here.
            part = take(piece.size)
            if not await self._fetcher.fetch(record, own, piece.offset, part):
                raise
            return part

    def _first(self, record: PackRecord, piece: Piece) -> int | None:
        """The shard to read a piece from; None where it is made from others."""
        # Every shard of a replicated pack holds the same bytes, so any of them will do.
        if record.k == 1:
            candidates = self._shards.candidates(record, frozenset(), piece.size)
            return candidates[0] if candidates else None
        return piece.shard if self.prompt(record, piece.shard) else None

    def _probe(self, record: PackRecord, offset: int, size: int) -> None:
        """Have those that were demoted tell how quick they are now."""
        for index in self._shards.demoted(record):
            member = self.holder(record, index)
            if member is not None and self._peers.probe_due(member, trio.current_time()):
                scratch = self._scratch.take(min(size, PROBE))
                self._alarms.spawn(partial(self._fetcher.probe, record, index, offset, scratch))

    async def load_whole(self, record: PackRecord, out: memoryview, spare: BufferPool) -> None:
        """Fill `out` with all data shards end to end, decoded; see `Rebuilder.load_whole`."""
        await self._rebuilder.load_whole(record, out, spare)
