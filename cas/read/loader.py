"""Chunks by id: located, fetched, decoded, verified. What leaves here hashes to its id.

Chunks that lie side by side in a pack are fetched as one extent: one request, one buffer, one
thread for decoding and verifying. A raw chunk is not copied: it is a slice of that buffer.

A chunk that cannot be had so, or does not verify, is read alone from each of its places, and then
with the shards whose blocks do not match their footers left out (`cas.packs.scrutiny`). Where that
fails too another site may have moved it: what is known is renewed, and its places are read anew.
"""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from ...errors import (
    BackendError,
    ChunkDamagedError,
    DamageError,
    DataLostError,
    one_failure,
)
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..chunking.regions import MAX_CHUNK
from ..codecs.raw import RAW
from ..codecs.registry import decode
from ..formats.chunktable import TAG_SIZE
from ..index.index import Index
from ..index.records import Location, PackRecord
from ..packs.direct import Asked, DirectReads
from ..packs.pool import SCRATCH, Pool
from ..packs.scrutiny import load_sound
from .budget import MemoryBudget
from .cache import Loaded
from .renewal import Renew, nothing_newer
from .seldom import Seldom
from .wholepacks import WholePacks

if TYPE_CHECKING:
    from ..encryption.packcipher import PackCipher

EXTENT: Final = SCRATCH
"""Longest extent, encoded or decoded bytes."""
PATIENCE: Final = 2.0
"""Seconds that reading an extent's chunks in one thread may take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """One chunk to load, and one of its places."""

    id: ChunkId
    place: Location
    pack: PackRecord


class Loader:
    """Loads chunks. One for all readers of a store, so that memory and threads are bounded once.

    `at_hand` says whether all of the latest load could be read, at once, by the thread that did.
    """

    def __init__(self, index: Index, pool: Pool, budget: MemoryBudget, *, slots: int) -> None:
        self._index = index
        self._pool = pool
        self._buffers = SizedBuffers(EXTENT, MAX_CHUNK, count=slots)
        self._whole = WholePacks(pool, budget)
        self._damage = Seldom(log)
        self._cipher = pool.members.cipher
        self._cpus = trio.CapacityLimiter(max(2, os.cpu_count() or 1))
        self._direct = DirectReads(pool, budget)
        self.at_hand = False
        self.renew: Renew = nothing_newer
        self._turns = trio.CapacityLimiter(max(2, os.cpu_count() or 1))
        # Turns bound them; a thread that hangs has none any more.
        self._threads = trio.CapacityLimiter(math.inf)

    async def load(
        self, ids: Sequence[ChunkId], *, sequential: bool = False
    ) -> dict[ChunkId, Loaded]:
        """Each chunk, verified. `sequential` says that more of the same will come.

        DataLostError where a chunk cannot be had any more, ChunkDamagedError where every copy is
        damaged.
        """
        found, extents = await self._load_directly(ids)
        if not extents:
            return found
        if len(extents) == 1:
            found.update(await self._load_extent(extents[0], sequential))
            return found

        async def load_one(extent: list[Placed]) -> None:
            found.update(await self._load_extent(extent, sequential))

        async with trio.open_nursery() as nursery:
            for extent in extents:
                nursery.start_soon(load_one, extent)
        return found

    async def _load_directly(
        self, ids: Sequence[ChunkId]
    ) -> tuple[dict[ChunkId, Loaded], list[list[Placed]]]:
        """What can be had in one go, in one thread, and the extents of the rest."""
        asked = Asked()
        async with self._turns:
            with trio.move_on_after(PATIENCE):
                found, left = await trio.to_thread.run_sync(
                    self._read_now, ids, asked, abandon_on_cancel=True, limiter=self._threads
                )
                self.at_hand = not left
                return found, left
        self.give_up(asked)
        return {}, await trio.to_thread.run_sync(self._plan, ids, limiter=self._cpus)

    def load_now(self, ids: Sequence[ChunkId], asked: Asked) -> dict[ChunkId, Loaded]:
        """What of `load` can be had at once, in the calling thread, which may be any.

        It hangs where a backend does: `asked` tells which. Errors as of `load`, and others.
        """
        found, left = self._read_now(ids, asked)
        self.at_hand = not left
        return found

    def give_up(self, asked: Asked) -> None:
        """A thread hangs: what it waits for is left alone for a while."""
        self.at_hand = False
        self._direct.give_up(asked)

    def _read_now(
        self, ids: Sequence[ChunkId], asked: Asked
    ) -> tuple[dict[ChunkId, Loaded], list[list[Placed]]]:
        found: dict[ChunkId, Loaded] = {}
        left: list[list[Placed]] = []
        for extent in self._plan(ids):
            pack, first, last = extent[0].pack, extent[0].place, extent[-1].place
            size = last.offset + last.stored - first.offset
            encoded = self._direct.read(pack, first.offset, size, self._buffers.take, asked)
            if encoded is None:
                left.append(extent)
                continue
            verified, bad = self._decode(extent, encoded, False)
            found.update(verified)
            left += [[chunk] for chunk in bad]
        return found, left

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
                f"chunk {id_.hex()[:16]} is in no pack that the index knows; add the file again"
            )
        for place, pack in known:
            if self._pool.healthy(pack, place.offset, place.stored):
                return Placed(id_, place, pack)
        return Placed(id_, *known[0])

    async def _load_extent(self, extent: list[Placed], sequential: bool) -> dict[ChunkId, Loaded]:
        try:
            with one_failure():
                found, bad = await self._load_together(extent, sequential)
        except (DamageError, BackendError) as error:
            log.info("an extent of %d chunks cannot be loaded as one: %s", len(extent), error)
            found, bad = {}, extent
        for chunk in bad:
            found[chunk.id] = await self._load_anyhow(chunk.id)
        return found

    async def _load_together(
        self, extent: list[Placed], sequential: bool
    ) -> tuple[dict[ChunkId, Loaded], list[Placed]]:
        """The extent's chunks, and those that do not verify."""
        pack, first, last = extent[0].pack, extent[0].place, extent[-1].place
        size = last.offset + last.stored - first.offset
        reading = self._whole.reading(pack, first.offset, size, sequential=sequential)
        async with reading as lent:
            encoded = lent
            if encoded is None:
                lacking = self._buffers.lacking(size)
                if lacking is not None:
                    # In a thread: the event loop has connections to look after meanwhile.
                    await trio.to_thread.run_sync(lacking.prepare, limiter=self._cpus)
                encoded = await self._pool.load(pack, first.offset, size, self._buffers.take)
            return await trio.to_thread.run_sync(
                self._decode, extent, encoded, lent is not None, limiter=self._cpus
            )

    def _decode(
        self, extent: list[Placed], encoded: memoryview, lent: bool
    ) -> tuple[dict[ChunkId, Loaded], list[Placed]]:
        """Decode and verify; of `lent` memory nothing is kept."""
        ids, cipher = self._cipher.ids, self._cipher.pack(extent[0].pack.id)
        if lent and (cipher or any(chunk.place.codec == RAW.number for chunk in extent)):
            copy = self._buffers.take(len(encoded))
            copy[:] = encoded
            encoded = copy
        target = None
        if any(chunk.place.codec != RAW.number for chunk in extent):
            target = self._buffers.take(sum(chunk.place.raw for chunk in extent))
        found: dict[ChunkId, Loaded] = {}
        bad: list[Placed] = []
        first, at = extent[0].place.offset, 0
        for chunk in extent:
            place = chunk.place
            loaded = Loaded(encoded, place.offset - first, place.stored - self._cipher.overhead)
            if cipher is not None and not _opens(cipher, place, encoded, first):
                bad.append(chunk)
                at += place.raw if place.codec != RAW.number else 0
                continue
            if place.codec != RAW.number and target is not None:
                decoded = Loaded(target, at, place.raw)
                at += place.raw
                loaded = decoded if _decodes(place.codec, loaded.data, decoded.data) else loaded
            # Damage shows here as a wrong hash, for every codec alike.
            if ids.of(loaded.data) == chunk.id:
                found[chunk.id] = loaded
            else:
                bad.append(chunk)
        return found, bad

    async def _load_anyhow(self, id_: ChunkId) -> Loaded:
        """One chunk that could not be had with its neighbours, from wherever it still can be had.

        Each of its places is read alone, then each by its sound blocks only; and that once more,
        for what was damaged may be mended, or replaced, between the reads of two shards.
        """
        places = await trio.to_thread.run_sync(self._places, id_, limiter=self._cpus)
        found = await self._load_from(id_, places)
        if isinstance(found, Loaded):
            return found
        await self.renew()
        now = await trio.to_thread.run_sync(self._places, id_, limiter=self._cpus)
        if {place.pack.id for place in now} != {place.pack.id for place in places}:
            log.info("chunk %s lies elsewhere by now", id_.hex()[:16])
            found = await self._load_from(id_, now)
        if isinstance(found, Loaded):
            return found
        raise found

    async def _load_from(self, id_: ChunkId, places: list[Placed]) -> Loaded | DamageError:
        """One chunk from one of these places; why it is not to be had from any."""
        damaged, reason = False, None
        passed: dict[str, None] = {}  # each told once, and only where the chunk is had after all
        for load in (self._load_plain, self._load_sound, self._load_sound):
            for chunk in places:
                try:
                    with one_failure():
                        encoded = await load(chunk)
                except (DamageError, BackendError) as error:
                    passed[str(error)] = None
                    reason = error
                    continue
                found, _ = await trio.to_thread.run_sync(
                    self._decode, [chunk], encoded, False, limiter=self._cpus
                )
                if found:
                    if passed:
                        self._damage.warn(f"chunk {id_.hex()[:16]}: {', '.join(passed)}")
                    return found[id_]
                damaged = True
                passed[f"it does not verify in pack {chunk.pack.id.hex()}"] = None
        for why in passed:
            log.info("chunk %s: %s", id_.hex()[:16], why)
        return self._beyond_help(id_, places, damaged, reason)

    def _places(self, id_: ChunkId) -> list[Placed]:
        known = ((place, self._index.pack(place.pack)) for place in self._index.locate([id_])[0])
        return [Placed(id_, place, pack) for place, pack in known if pack is not None]

    async def _load_plain(self, chunk: Placed) -> memoryview:
        place = chunk.place
        return await self._pool.load(chunk.pack, place.offset, place.stored, self._buffers.take)

    async def _load_sound(self, chunk: Placed) -> memoryview:
        return await load_sound(self._pool, chunk.pack, chunk.place.offset, chunk.place.stored)

    def _away(self, places: list[Placed]) -> list[str]:
        """Names of backends that are down and hold shards of a chunk's packs."""
        holders = {backend for chunk in places for backend in chunk.pack.backends}
        return sorted(m.name for m in self._pool.members.down() if m.id in holders)

    def _beyond_help(
        self, id_: ChunkId, places: list[Placed], damaged: bool, reason: Exception | None
    ) -> DamageError:
        packs = ", ".join(chunk.pack.id.hex() for chunk in places)
        what = f"chunk {id_.hex()[:16]} (in pack {packs})"
        advice = "run `modelfloat verify`; if it finds files lost, add those again"
        if damaged:
            return DataLostError(f"{what} is damaged beyond what parity mends; {advice}")
        away = self._away(places)
        if away:
            names = f"{', '.join(away)} {'is' if len(away) == 1 else 'are'}"
            pack = places[0].pack
            gone = self._pool.gone(pack)
            return DataLostError(
                f"{what} cannot be read: {names} down; bring back what is gone for now and read "
                f"again, `modelfloat doctor` says more; {len(gone)} of {pack.n} shards are gone, "
                f"{pack.k} are needed (gone: {', '.join(gone)})"
            )
        return DataLostError(f"{what}: {reason}; {advice}")


def _opens(cipher: "PackCipher", place: Location, encoded: memoryview, first: int) -> bool:
    """Decrypt a chunk where it lies, in bytes of its pack from offset `first` on."""
    at = place.offset - first
    stored = encoded[at : at + place.stored]
    try:
        cipher.open(place.slot, stored, stored[:-TAG_SIZE])
    except ChunkDamagedError:
        return False
    return True


def _decodes(codec: int, encoded: memoryview, out: memoryview) -> bool:
    try:
        decode(codec, encoded, out)
    except ChunkDamagedError:
        return False
    return True
