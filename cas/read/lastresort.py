"""A chunk that could not be had with its neighbours, from wherever it still can be had.

Each of its places is read alone, then with the shards whose blocks do not match their footers left
out (`cas.packs.scrutiny`). Where that fails too another site may have moved it: what is known is
renewed, and its places are read anew.
"""

import logging

import trio

from ...errors import BackendError, DamageError, DataLostError, one_failure
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..packs.pool import Pool
from ..packs.scrutiny import load_sound
from .cache import Loaded
from .extents import Extents, Placed
from .renewal import Renew, nothing_newer
from .seldom import Seldom
from .unpacking import Unpacker

log = logging.getLogger(__name__)


class LastResort:
    """Loads one chunk at a time, in threads of `cpus`; `renew` renews what is known."""

    def __init__(
        self,
        extents: Extents,
        pool: Pool,
        unpacker: Unpacker,
        buffers: SizedBuffers,
        cpus: trio.CapacityLimiter,
    ) -> None:
        self._extents = extents
        self._pool = pool
        self._unpacker = unpacker
        self._buffers = buffers
        self._cpus = cpus
        self._damage = Seldom(log)
        self.renew: Renew = nothing_newer

    async def load(self, id_: ChunkId) -> Loaded:
        """One chunk that could not be had with its neighbours, from wherever it still can be had.

        Each of its places is read alone, then each by its sound blocks only; and that once more,
        for what was damaged may be mended, or replaced, between the reads of two shards.
        """
        places = await trio.to_thread.run_sync(self._extents.places, id_, limiter=self._cpus)
        found = await self._load_from(id_, places)
        if isinstance(found, Loaded):
            return found
        await self.renew()
        now = await trio.to_thread.run_sync(self._extents.places, id_, limiter=self._cpus)
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
                    self._unpacker.unpack, [chunk], encoded, False, limiter=self._cpus
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
