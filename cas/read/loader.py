"""Chunks by id: located, fetched, decoded, verified. What leaves here hashes to its id.

Chunks that lie side by side in a pack are fetched as one extent: one request, one buffer, one
thread for decoding and verifying. A raw chunk is not copied: it is a slice of that buffer.

A chunk that cannot be had so, or does not verify, is loaded alone (`lastresort`).
"""

import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Final

import trio

from ...errors import BackendError, DamageError, one_failure
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..chunking.regions import MAX_CHUNK
from ..index.index import Index
from ..packs.direct import Asked, DirectReads
from ..packs.pool import Pool
from .budget import MemoryBudget
from .cache import Loaded
from .extents import EXTENT, Extents, Placed
from .lastresort import LastResort
from .unpacking import Unpacker
from .wholepacks import WholePacks

PATIENCE: Final = 2.0
"""Seconds that reading an extent's chunks in one thread may take."""

log = logging.getLogger(__name__)


class Loader:
    """Loads chunks. One for all readers of a store, so that memory and threads are bounded once.

    `at_hand` says whether all of the latest load could be read, at once, by the thread that did.
    """

    def __init__(self, index: Index, pool: Pool, budget: MemoryBudget, *, slots: int) -> None:
        self._extents = Extents(index, pool)
        self._pool = pool
        self._buffers = SizedBuffers(EXTENT, MAX_CHUNK, count=slots)
        self._whole = WholePacks(pool, budget)
        self._cpus = trio.CapacityLimiter(max(2, os.cpu_count() or 1))
        self._direct = DirectReads(pool, budget)
        self._unpacker = Unpacker(pool.members.cipher, self._buffers)
        self.last_resort = LastResort(
            self._extents, pool, self._unpacker, self._buffers, self._cpus
        )
        self.at_hand = False
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
        return {}, await trio.to_thread.run_sync(self._extents.plan, ids, limiter=self._cpus)

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
        for extent in self._extents.plan(ids):
            pack, first, last = extent[0].pack, extent[0].place, extent[-1].place
            size = last.offset + last.stored - first.offset
            encoded = self._direct.read(pack, first.offset, size, self._buffers.take, asked)
            if encoded is None:
                left.append(extent)
                continue
            verified, bad = self._unpacker.unpack(extent, encoded, False)
            found.update(verified)
            left += [[chunk] for chunk in bad]
        return found, left

    async def _load_extent(self, extent: list[Placed], sequential: bool) -> dict[ChunkId, Loaded]:
        try:
            with one_failure():
                found, bad = await self._load_together(extent, sequential)
        except (DamageError, BackendError) as error:
            log.info("an extent of %d chunks cannot be loaded as one: %s", len(extent), error)
            found, bad = {}, extent
        for chunk in bad:
            found[chunk.id] = await self.last_resort.load(chunk.id)
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
                encoded = await self._pool.load(pack, first.offset, size, await self._room(size))
            return await trio.to_thread.run_sync(
                self._unpacker.unpack, extent, encoded, lent is not None, limiter=self._cpus
            )

    async def _room(self, size: int) -> Callable[[int], memoryview]:
        """Memory for `size` bytes to whoever takes it first, then of any size. It is made in a
        thread: the event loop has connections to look after meanwhile."""
        made = self._buffers.take_made(size)
        if made is None:
            made = await trio.to_thread.run_sync(self._buffers.take, size, limiter=self._cpus)
        waiting = [made]
        del made  # whoever has it says when it is used again
        return lambda wanted: waiting.pop() if waiting else self._buffers.take(wanted)
