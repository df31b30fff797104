"""Degraded packs decoded whole, for sequential readers.

Decoding a chunk of a lost shard reads k shards' ranges for one range of data: k times the bytes. A
reader that goes through the whole pack needs all of those ranges anyway; so on its second visit to
a degraded pack the pack is loaded and decoded at once, and serves what follows from memory.

Concurrency: single-flight per pack; the slots of at most KEPT packs are held by this cache, those
of evicted ones only as long as someone still reads from them.
"""

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import trio

from ..errors import DataLostError
from ..ids import PackId
from .buffers import BufferPool
from .formats.chunktable import PACK_SIZE
from .pool import Pool
from .records import PackRecord

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Whole packs in memory, at most: one being read, one ahead of it."""


@dataclass(slots=True)
class _Whole:
    ready: trio.Event = field(default_factory=trio.Event)
    data: memoryview | None = None


class WholePacks:
    """Loads degraded packs whole when a sequential reader comes for the second time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._slots = BufferPool(PACK_SIZE + 32 * 64, KEPT)
        self._spare = BufferPool(PACK_SIZE // 2, KEPT)
        self._kept: OrderedDict[PackId, _Whole] = OrderedDict()
        self._visited: OrderedDict[PackId, None] = OrderedDict()

    async def slice(
        self, pack: PackRecord, offset: int, size: int, sequential: bool
    ) -> memoryview | None:
        """The pack's bytes [offset, offset+size), or None: the caller reads the range itself."""
        whole = self._kept.get(pack.id)
        if whole is None:
            if not sequential or not self._worth(pack):
                return None
            whole = await self._load(pack)
        await whole.ready.wait()
        return None if whole.data is None else whole.data[offset : offset + size]

    def _worth(self, pack: PackRecord) -> bool:
        if pack.k == 1 or all(self._pool.usable(pack, i) for i in range(pack.k)):
            return False
        if pack.id in self._visited:
            return True
        self._visited[pack.id] = None
        if len(self._visited) > 64:
            self._visited.popitem(last=False)
        return False

    async def _load(self, pack: PackRecord) -> _Whole:
        whole = self._kept[pack.id] = _Whole()
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        try:
            out = self._slots.take()[: pack.k * pack.shard]
            spare = self._spare if pack.shard <= self._spare.size else self._slots
            await self._pool.load_whole(pack, out, spare)
            whole.data = out
        except DataLostError:
            # The caller's own, smaller read finds out whether its range can still be had.
            log.info("pack %s cannot be decoded whole", pack.id.hex())
        finally:
            if whole.data is None:
                self._kept.pop(pack.id, None)
            whole.ready.set()
        return whole
