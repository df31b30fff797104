"""Shards, or parts of them, made from any k others.

Concurrency: what is gathered at once is bounded and charged, whatever the number of readers (see
`Decodings`); decoding runs in worker threads.
"""

from collections.abc import Set as AbstractSet
from typing import Final

import trio

from ...erasure.codec import decode
from ...erasure.scheme import Scheme
from ...errors import one_failure
from ..buffers import BufferPool
from ..index.records import PackRecord
from .decodings import SCRATCH, Decodings
from .gathering import Gatherer

WHOLE_PATIENCE: Final = 4.0
"""Times what is late, and half so many seconds besides, a shard may take that is read whole."""


class Rebuilder:
    """Makes ranges of shards, and whole packs, without those that cannot be had or are slow."""

    def __init__(self, gatherer: Gatherer, decodings: Decodings) -> None:
        self._gatherer = gatherer
        self._shards = gatherer.fetcher.shards
        self._peers = gatherer.clock.peers
        self._decodings = decodings

    async def rebuild(
        self,
        record: PackRecord,
        shard: int,
        offset: int,
        out: memoryview,
        *,
        without: AbstractSet[int],
    ) -> None:
        """Fill `out` with shard `shard` from `offset` on, from any k shards but those `without`.

        Of a pack of copies any one will do. DataLostError where fewer than k can be had.
        """
        step = self._decodings.step(record.k)
        for start in range(0, len(out), step):
            part = out[start : start + step]
            async with self._decodings.turn(record.k * len(part)):
                present = await self._gather(record, offset + start, len(part), without)
                await self._decode(record, present, shard, part)

    async def _gather(
        self, record: PackRecord, offset: int, size: int, without: AbstractSet[int]
    ) -> dict[int, memoryview]:
        candidates = self._shards.candidates(record, without, size)
        return await self._gatherer.gather(
            record, offset, candidates, lambda _index: self._decodings.take(size)
        )

    async def _decode(
        self, record: PackRecord, present: dict[int, memoryview], shard: int, out: memoryview
    ) -> None:
        if record.k == 1:
            out[:] = next(iter(present.values()))
            return
        scheme = Scheme(record.k, record.m)
        await trio.to_thread.run_sync(decode, scheme, present, {shard: out})

    async def load_whole(self, record: PackRecord, out: memoryview, spare: BufferPool) -> None:
        """Fill `out` (k·S bytes) with all data shards end to end; lost ones are decoded.

        For a sequential reader of a degraded pack: it reads k shards once, whatever is missing.
        DataLostError already when one of the first k fails, or is far too slow: `out` may then be
        written to later. `spare` gives slots of at least S bytes for parity.
        """
        size = record.shard
        candidates = self._shards.candidates(record, frozenset(), size, spread=False)[: record.k]
        buffers = {i: spare.take()[:size] for i in candidates if i >= record.k}
        buffers |= {i: out[i * size : (i + 1) * size] for i in range(record.k)}
        with one_failure(), trio.move_on_after(self._patience(record, candidates)) as scope:
            async with trio.open_nursery() as nursery:
                # Several connections to each backend: one alone may be slow.
                for start in range(0, size, SCRATCH):
                    nursery.start_soon(self._load_across, record, candidates, start, buffers)
        if scope.cancelled_caught:
            # The caller reads ranges instead, which are hedged.
            raise self._shards.lost(record, set(range(record.n)).difference(candidates))

    async def _load_across(
        self,
        record: PackRecord,
        candidates: list[int],
        start: int,
        buffers: dict[int, memoryview],
    ) -> None:
        """Fill SCRATCH bytes of each data shard's buffer from `start` on."""
        parts = {i: buffer[start : start + SCRATCH] for i, buffer in buffers.items()}
        present = await self._gatherer.gather(record, start, candidates, parts.__getitem__)
        wanted = {i: part for i, part in parts.items() if i < record.k and i not in present}
        await trio.to_thread.run_sync(decode, Scheme(record.k, record.m), present, wanted)

    def _patience(self, record: PackRecord, candidates: list[int]) -> float:
        holders = [self._shards.holder(record, index) for index in candidates]
        late = [self._peers.late(member, record.shard) for member in holders if member is not None]
        return WHOLE_PATIENCE * max(late, default=0.0) + WHOLE_PATIENCE / 2
