"""Chunks by id: located, fetched, decoded, verified. What leaves here hashes to its id.

Chunks that lie side by side in a pack are fetched as one extent: one request, one buffer, one
thread for decoding and verifying. A raw chunk is not copied: it is a slice of that buffer.

A chunk that does not verify is tried again from each of its other places, and then with the shards
whose blocks do not match their footers left out (`cas.scrutiny`).
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from blake3 import blake3

from ..errors import ChunkDamagedError, DamageError, DataLostError
from ..ids import ChunkId
from .buffers import SizedBuffers
from .cache import Loaded
from .chunking.regions import MAX_CHUNK
from .codecs.raw import RAW
from .codecs.registry import decode
from .index import Index
from .pool import SCRATCH, Pool
from .records import Location, PackRecord
from .scrutiny import load_sound
from .wholepacks import WholePacks

EXTENT: Final = SCRATCH
"""Longest extent, encoded or decoded bytes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """One chunk to load, and one of its places."""

    id: ChunkId
    place: Location
    pack: PackRecord


class Loader:
    """Loads chunks. One for all readers of a store, so that memory and threads are bounded once."""

    def __init__(self, index: Index, pool: Pool, *, slots: int) -> None:
        self._index = index
        self._pool = pool
        self._buffers = SizedBuffers(EXTENT, MAX_CHUNK, count=slots)
        self._whole = WholePacks(pool)
        self._cpus = trio.CapacityLimiter(max(2, os.cpu_count() or 1))

    async def load(
        self, ids: Sequence[ChunkId], *, sequential: bool = False
    ) -> dict[ChunkId, Loaded]:
        """Each chunk, verified. `sequential` says that more of the same will come.

        DataLostError where a chunk cannot be had any more, ChunkDamagedError where every copy is
        damaged.
        """
        extents = await trio.to_thread.run_sync(self._plan, ids, limiter=self._cpus)
        found: dict[ChunkId, Loaded] = {}
        if len(extents) == 1:
            found.update(await self._load_extent(extents[0], sequential))
            return found

        async def load_one(extent: list[Placed]) -> None:
            found.update(await self._load_extent(extent, sequential))

        async with trio.open_nursery() as nursery:
            for extent in extents:
                nursery.start_soon(load_one, extent)
        return found

    def _plan(self, ids: Sequence[ChunkId]) -> list[list[Placed]]:
        packs: dict[int, PackRecord | None] = {}
        extents: list[list[Placed]] = []
        stored = raw = 0
        for id_, places in zip(ids, self._index.locate(ids), strict=True):
            for place in places:
                if place.pack not in packs:
                    packs[place.pack] = self._index.pack(place.pack)
            chunk = self._best(id_, places, packs)
            last = extents[-1][-1] if extents else None
            joins = (
                last is not None
                and last.place.pack == chunk.place.pack
                and last.place.offset + last.place.stored == chunk.place.offset
                and stored + chunk.place.stored <= EXTENT
                and raw + chunk.place.raw <= EXTENT
            )
            if joins:
                extents[-1].append(chunk)
            else:
                extents.append([chunk])
                stored = raw = 0
            stored += chunk.place.stored
            raw += chunk.place.raw
        return extents

    def _best(
        self, id_: ChunkId, places: list[Location], packs: dict[int, PackRecord | None]
    ) -> Placed:
        known = [(place, pack) for place in places if (pack := packs[place.pack]) is not None]
        if not known:
            raise DataLostError(
                f"chunk {id_.hex()[:16]} is in no pack that the index knows; "
                "run `modelfloat verify`"
            )
        for place, pack in known:
            if self._pool.healthy(pack, place.offset, place.stored):
                return Placed(id_, place, pack)
        return Placed(id_, *known[0])

    async def _load_extent(self, extent: list[Placed], sequential: bool) -> dict[ChunkId, Loaded]:
        first, last = extent[0].place, extent[-1].place
        size = last.offset + last.stored - first.offset
        encoded = await self._whole.slice(extent[0].pack, first.offset, size, sequential)
        if encoded is None:
            encoded = await self._pool.load(extent[0].pack, first.offset, size, self._buffers.take)
        target = None
        if any(chunk.place.codec != RAW.number for chunk in extent):
            target = self._buffers.take(sum(chunk.place.raw for chunk in extent))
        found, bad = await trio.to_thread.run_sync(
            self._decode, extent, encoded, target, limiter=self._cpus
        )
        for chunk in bad:
            found[chunk.id] = await self._load_damaged(chunk)
        return found

    def _decode(
        self, extent: list[Placed], encoded: memoryview, target: memoryview | None
    ) -> tuple[dict[ChunkId, Loaded], list[Placed]]:
        found: dict[ChunkId, Loaded] = {}
        bad: list[Placed] = []
        first, at = extent[0].place.offset, 0
        for chunk in extent:
            place = chunk.place
            loaded = Loaded(encoded, place.offset - first, place.stored)
            if place.codec != RAW.number and target is not None:
                decoded = Loaded(target, at, place.raw)
                at += place.raw
                loaded = decoded if _decodes(place.codec, loaded.data, decoded.data) else loaded
            # Damage shows here as a wrong hash, for every codec alike.
            if blake3(loaded.data).digest() == chunk.id:
                found[chunk.id] = loaded
            else:
                bad.append(chunk)
        return found, bad

    async def _load_damaged(self, chunk: Placed) -> Loaded:
        """One chunk that did not verify, from wherever it still can be had."""
        log.warning(
            "chunk %s in pack %s does not verify; trying its other shards",
            chunk.id.hex()[:16],
            chunk.pack.id.hex(),
        )
        for place in (await trio.to_thread.run_sync(self._index.locate, [chunk.id]))[0]:
            pack = await trio.to_thread.run_sync(self._index.pack, place.pack)
            if pack is None:
                continue
            try:
                encoded = await load_sound(self._pool, pack, place.offset, place.stored)
            except DamageError as error:
                log.warning("%s", error)
                continue
            found, _ = await trio.to_thread.run_sync(
                self._decode,
                [Placed(chunk.id, place, pack)],
                encoded,
                self._buffers.take(place.raw),
            )
            if found:
                return found[chunk.id]
        raise ChunkDamagedError(
            f"chunk {chunk.id.hex()[:16]} in pack {chunk.pack.id.hex()} is damaged beyond its "
            "parity; add the file again to heal it"
        )


def _decodes(codec: int, encoded: memoryview, out: memoryview) -> bool:
    try:
        decode(codec, encoded, out)
    except ChunkDamagedError:
        return False
    return True
