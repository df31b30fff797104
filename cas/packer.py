"""From new chunks to durable packs: lanes fill packs, full ones are sealed and stored behind them.

Three lanes, each with one open pack at most: large files, small files, objects. A lane's pack is
filled by its own task; a full pack is sealed in a worker thread, stored and put into the journal by
a task of its own, while the lane goes on with the next one.

Memory: a pack's buffer is taken when the first chunk comes and given back when the pack is durable.
A lane has LANE_PACKS of them, one filling while one is stored, so it waits for a slow backend and
memory stays bounded. Few on purpose: memory touched for the first time is dear.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import trio

from ..erasure.scheme import Scheme
from ..ids import ChunkId, ObjectId, PackId, StoreId
from .buffers import BufferPool
from .formats.chunktable import PACK_CHUNKS, Kind
from .journal.journal import Journal
from .packs.builder import NewChunk, PackBuilder, SealedPack, pack_limit
from .packs.pool import Pool
from .packs.storing import SPARE

LANE_PACKS: Final = 2
SEALED: Final = 1
"""Packs that hold their parity in memory at once, at most: sealed, being stored."""
OBJECT_PACK_SIZE: Final = 16 << 20
SMALL_LENGTH: Final = 32 << 20
"""Longest pack of small files, bytes: both lanes have two in memory, and long ones are too much."""
HELD: Final = 1 << 20
"""Packs shorter than so many bytes may be recorded with what they are stored for."""
SMALL_CHUNKS: Final = 4096
"""Most chunks in a pack of small files or of objects.

The index takes a pack over in one transaction, and LMDB holds every page that it touches in memory
until the end: in a large index one for each chunk, and one for each object that is mirrored.
"""


class LaneName(Enum):
    """Which pack a chunk goes into."""

    LARGE = "large files"
    SMALL = "small files"
    OBJECTS = "objects"


EVERY: Final = tuple(LaneName)


@dataclass(slots=True)
class _Batch:
    chunks: Sequence[NewChunk]
    objects: Mapping[ObjectId, bytes]
    flush: bool = False
    done: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True, slots=True)
class _Buffers:
    """What a lane's packs are made in; `free` counts the packs that may be in memory."""

    packs: BufferPool
    limit: int
    most: int
    free: trio.Semaphore

    @classmethod
    def of(cls, slot: int, limit: int, most: int = PACK_CHUNKS) -> "_Buffers":
        """Buffers of `slot` bytes for packs of at most `limit` bytes and `most` chunks."""
        packs = BufferPool(slot, LANE_PACKS, populate=False)
        return cls(packs, limit, most, trio.Semaphore(LANE_PACKS))


class _Lane:
    """Fills one pack after the other."""

    def __init__(self, packer: "Packer", kind: Kind, buffers: _Buffers) -> None:
        self._packer = packer
        self._kind = kind
        self._buffers = buffers
        self._builder: PackBuilder | None = None
        self._objects: dict[ObjectId, bytes] = {}
        self.send, self._receive = trio.open_memory_channel[_Batch](0)

    async def run(self) -> None:
        """Take batches until the packer closes."""
        async for batch in self._receive:
            await self._append(batch.chunks, batch.objects)
            if batch.flush:
                self._close()
            batch.done.set()

    async def _append(self, chunks: Sequence[NewChunk], objects: Mapping[ObjectId, bytes]) -> None:
        at = 0
        while at < len(chunks):
            if self._builder is not None and not self._builder.fits(len(chunks[at].encoded)):
                self._close()
            if self._builder is None:
                await self._buffers.free.acquire()
                buffers = self._buffers
                self._builder = PackBuilder(
                    self._kind,
                    buffers.limit,
                    buffers.packs,
                    buffers.most,
                    self._packer.cipher,
                )
            taken = await trio.to_thread.run_sync(fill, self._builder, chunks, at)
            if objects:
                ids = [ObjectId(chunk.id) for chunk in chunks[at:taken]]
                self._objects.update({id_: objects[id_] for id_ in ids})
            at = taken

    def _close(self) -> None:
        if self._builder is not None and len(self._builder):
            self._packer.finish(self._builder, self._objects, self._buffers.free)
            self._builder, self._objects = None, {}


def fill(builder: PackBuilder, chunks: Sequence[NewChunk], at: int) -> int:
    """Append chunks from index `at` on while they fit; the index of the first that did not."""
    while at < len(chunks) and builder.fits(len(chunks[at].encoded)):
        builder.append(chunks[at])
        at += 1
    return at


def _untold(_pack: PackId) -> None:
    """For packers of whose packs nobody wants to know."""


class Packer:
    """Packs and stores new chunks, in tasks of `nursery`.

    Packs of data have `scheme`, those of objects `copies` of parity, its own if None. A pack counts
    as stored with `spare` shards more than it needs.
    `pending` holds, by kind, the ids that were claimed and are not in the index yet. `encoded` and
    `stored` count bytes of data packs that are durable: in packs, and with parity. `packs` and
    `written` count all packs, and their bytes with parity. `made` hears of every pack
    once the index has it, or the journal holds it.
    """

    def __init__(
        self,
        store: StoreId,
        scheme: Scheme,
        pool: Pool,
        journal: Journal,
        nursery: trio.Nursery,
        *,
        copies: int | None = None,
        spare: int = SPARE,
        made: Callable[[PackId], None] = _untold,
    ) -> None:
        self._made = made
        self._store = store
        self._scheme = scheme
        self._objects = Scheme(1, scheme.m if copies is None else copies)
        self._spare = spare
        self._pool = pool
        self.cipher = pool.members.cipher
        self._journal = journal
        self._nursery = nursery
        limit = pack_limit(scheme)
        slot = limit + 64 * scheme.k
        parity = max(1, scheme.m) * -(-slot // scheme.k) + 64
        self._parity = BufferPool(parity, SEALED, populate=False)
        self._lanes = {
            LaneName.LARGE: _Lane(self, Kind.DATA, _Buffers.of(slot, limit)),
            LaneName.SMALL: _Lane(
                self, Kind.DATA, _Buffers.of(slot, min(limit, SMALL_LENGTH), SMALL_CHUNKS)
            ),
            LaneName.OBJECTS: _Lane(
                self,
                Kind.OBJECT,
                _Buffers.of(OBJECT_PACK_SIZE + 64, OBJECT_PACK_SIZE, SMALL_CHUNKS),
            ),
        }
        self._unfinished = 0
        self._holding = False
        self._idle = trio.Event()
        self._sealing = trio.CapacityLimiter(SEALED)
        self.pending: dict[Kind, set[ChunkId]] = {kind: set() for kind in Kind}
        self.encoded = 0
        self.stored = 0
        self.packs = 0
        self.written = 0
        for lane in self._lanes.values():
            nursery.start_soon(lane.run)

    async def put(self, lane: LaneName, chunks: Sequence[NewChunk]) -> None:
        """Lay chunks into the lane's pack; when this returns they were copied."""
        if chunks:
            await self._send(lane, _Batch(chunks, {}))

    async def put_objects(
        self, chunks: Sequence[NewChunk], objects: Mapping[ObjectId, bytes]
    ) -> None:
        """Lay objects into the object pack; the index mirrors `objects` once it is durable."""
        if chunks:
            await self._send(LaneName.OBJECTS, _Batch(chunks, objects))

    async def _send(self, lane: LaneName, batch: _Batch) -> None:
        await self._lanes[lane].send.send(batch)
        await batch.done.wait()

    async def flush(self, lanes: Sequence[LaneName] = EVERY, *, hold: bool = False) -> None:
        """Store what is open in these lanes, and return when everything that was put there is in
        the index. With `hold` small packs are durable then, and recorded with what the journal
        gets next: with the ref that they are for."""
        self._holding = hold
        for lane in lanes:
            await self._send(lane, _Batch((), {}, flush=True))
        while self._unfinished:
            self._idle = trio.Event()
            await self._idle.wait()

    async def seal_objects(self) -> None:
        """Close the open pack of objects: it is stored in the background, full or not."""
        await self._send(LaneName.OBJECTS, _Batch((), {}, flush=True))

    def close(self) -> None:
        """No more chunks: the lanes' tasks end."""
        for lane in self._lanes.values():
            lane.send.close()

    def finish(
        self, builder: PackBuilder, objects: dict[ObjectId, bytes], free: trio.Semaphore
    ) -> None:
        """Seal, store and record a full pack in the background."""
        self._unfinished += 1
        self._nursery.start_soon(self._finish, builder, objects, free)

    async def _finish(
        self, builder: PackBuilder, objects: dict[ObjectId, bytes], free: trio.Semaphore
    ) -> None:
        # Each sealed pack holds its parity in memory until it is stored.
        async with self._sealing:
            sealed = await trio.to_thread.run_sync(
                builder.seal, self._store, self._scheme_of(builder.kind), self._parity
            )
            stored = await self._pool.store(sealed, self._spare)
        self._count(sealed)
        del sealed, builder
        free.release()
        if self._holding and stored.length < HELD:
            # Its chunks stay pending: the index does not have them yet.
            self._journal.hold(stored, objects)
        else:
            await self._journal.append([stored], objects)
            self.pending[stored.kind].difference_update(chunk.id for chunk in stored.chunks)
        self._made(stored.pack)
        self._unfinished -= 1
        if not self._unfinished:
            self._idle.set()

    def _scheme_of(self, kind: Kind) -> Scheme:
        return self._objects if kind is Kind.OBJECT else self._scheme

    def _count(self, sealed: SealedPack) -> None:
        self.packs += 1
        self.written += sealed.stored
        if sealed.info.kind is Kind.DATA:
            self.encoded += sealed.info.length
            self.stored += sealed.stored
