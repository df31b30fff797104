"""Degraded packs decoded whole, for sequential readers.

Decoding a chunk of a lost shard reads k shards' ranges for one range of data: k times the bytes. A
reader that goes through the whole pack needs all of those ranges anyway; so on its second visit to
a degraded pack the pack is loaded and decoded at once, and serves what follows from memory.

They are charged to the memory budget; where that says no, ranges are read as well.

With more readers than room, those who come late read ranges: a pack that is being read is not
pushed out for another, for each would then be loaded again and again. Nor is a pack loaded again
soon when that failed, or when it had to go before it was read to its end.

Concurrency: used in the event loop; single-flight per pack. An entry is there from the moment
its load begins, and only leaves when it has no users; so at most KEPT packs are in memory.
"""

import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

import trio

from ...errors import BackendError, DamageError
from ...ids import PackId
from ..buffers import BufferPool
from ..formats.chunktable import PACK_SIZE
from ..index.records import PackRecord
from ..packs.pool import Pool
from .budget import MemoryBudget

log = logging.getLogger(__name__)

KEPT: Final = 2
"""Whole packs in memory, at most: one being read, one ahead of it."""
PADDING: Final = 64
"""Most bytes by which a shard is padded."""
IDLE: Final = 2.0
"""Seconds after which a reader that stopped in mid-pack counts as gone."""
BARRED: Final = 60.0
"""Seconds for which a pack is not loaded whole again, if that was in vain."""
REMEMBERED: Final = 64
"""Packs remembered as visited, and as barred."""


@dataclass(slots=True)
class _Whole:
    """One pack; `data` is there when `ready` is set, None if the load failed."""

    ready: trio.Event = field(default_factory=trio.Event)
    data: memoryview | None = None
    users: int = 0
    used: float = 0.0
    finished: bool = False
    charged: int = 0


class WholePacks:
    """Loads degraded packs whole when a sequential reader comes for the second time."""

    def __init__(self, pool: Pool, budget: MemoryBudget) -> None:
        self._pool = pool
        self._budget = budget
        self._slots = BufferPool(PACK_SIZE + 32 * PADDING, KEPT)
        self._spare = BufferPool(PACK_SIZE // 2 + PADDING, KEPT, populate=False)
        self._kept: OrderedDict[PackId, _Whole] = OrderedDict()
        self._visited: OrderedDict[PackId, None] = OrderedDict()
        self._barred: OrderedDict[PackId, float] = OrderedDict()

    @contextlib.asynccontextmanager
    async def reading(
        self, pack: PackRecord, offset: int, size: int, *, sequential: bool
    ) -> AsyncIterator[memoryview | None]:
        """The pack's bytes [offset, offset+size), or None: the caller reads the range itself.

        They lie in the memory of the whole pack: copy what is to outlive the block.
        """
        whole = await self._find(pack, offset, sequential)
        if whole is None:
            yield None
            return
        whole.users += 1
        try:
            await whole.ready.wait()
            whole.finished |= offset + size >= pack.length
            yield None if whole.data is None else whole.data[offset : offset + size]
        finally:
            whole.users -= 1
            whole.used = trio.current_time()

    async def _find(self, pack: PackRecord, offset: int, sequential: bool) -> _Whole | None:
        whole = self._kept.get(pack.id)
        if whole is not None:
            self._kept.move_to_end(pack.id)
            return whole if sequential or whole.ready.is_set() else None
        if not sequential or not self._worth(pack, offset) or not self._make_room():
            return None
        cost = self._cost(pack)
        return await self._load(pack, cost) if self._budget.take(cost) else None

    def _cost(self, pack: PackRecord) -> int:
        """Bytes that a whole pack takes: its own, and parity in place of what is lost."""
        lost = sum(not self._pool.prompt(pack, index) for index in range(pack.k))
        return self._slots.size + lost * pack.shard

    def _drop(self, id_: PackId) -> None:
        self._budget.give(self._kept.pop(id_).charged)

    def _worth(self, pack: PackRecord, offset: int) -> bool:
        """Whether the rest of the pack from `offset` on costs more by ranges than all of it whole,
        and a reader has come before."""
        if pack.k == 1:
            return False
        rest = 0
        for index in range(offset // pack.shard, pack.k):
            left = (index + 1) * pack.shard - max(offset, index * pack.shard)
            rest += left * (1 if self._pool.prompt(pack, index) else pack.k)
        if rest <= pack.k * pack.shard or self._barred.get(pack.id, 0.0) > trio.current_time():
            return False
        if pack.id in self._visited:
            return True
        self._visited[pack.id] = None
        if len(self._visited) > REMEMBERED:
            self._visited.popitem(last=False)
        return False

    def _make_room(self) -> bool:
        """Let a pack go that nobody reads, if need be; False when all are being read."""
        if len(self._kept) < KEPT:
            return True
        idle = trio.current_time() - IDLE
        for id_, whole in self._kept.items():
            if whole.ready.is_set() and not whole.users and (whole.finished or whole.used < idle):
                if not whole.finished:
                    self._bar(id_)
                self._drop(id_)
                return True
        return False

    def _bar(self, id_: PackId) -> None:
        self._barred[id_] = trio.current_time() + BARRED
        self._barred.move_to_end(id_)
        if len(self._barred) > REMEMBERED:
            self._barred.popitem(last=False)

    async def _load(self, pack: PackRecord, cost: int) -> _Whole:
        whole = self._kept[pack.id] = _Whole(charged=cost)
        try:
            # In a thread: a new slot's pages are made there, which takes milliseconds.
            slot = await trio.to_thread.run_sync(self._slots.take)
            out = slot[: pack.k * pack.shard]
            await self._pool.load_whole(pack, out, self._spare)
            whole.data = out
        except (DamageError, BackendError):
            # The caller's own, smaller read finds out whether its range can still be had.
            log.info("pack %s cannot be decoded whole", pack.id.hex())
            self._bar(pack.id)
        finally:
            if whole.data is None:
                self._drop(pack.id)
            whole.ready.set()
        return whole
