"""A link with a delay and a bandwidth, in the event loop's time: for MockClock.

Each transfer waits `delay` seconds, then moves at `each` bytes a second at most, and all of them
together at `total`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from modelfloat.cas.packs.evenness import Evenness
from modelfloat.cas.packs.placement import Candidate, place
from modelfloat.cas.read.cache import Loaded
from modelfloat.ids import BackendId, ChunkId
from modelfloat.tests.support.countingloader import CHUNK, CountingLoader

SHARD = 16 << 20
PACKS = 64


@dataclass
class Link:
    """One for all that share it; `moved` counts its bytes."""

    delay: float = 0.05
    each: float = 50e6
    total: float = 400e6
    moved: int = 0
    _free: float = 0.0

    async def move(self, size: int) -> None:
        """Wait as long as `size` bytes take."""
        self.moved += size
        now = trio.current_time()
        self._free = max(self._free, now + self.delay) + size / self.total
        await trio.sleep(max(self._free - now, self.delay + size / self.each))


class SlowLoader(CountingLoader):
    """A loader over a link."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    async def load(
        self, ids: Sequence[ChunkId], *, sequential: bool = False
    ) -> dict[ChunkId, Loaded]:
        """The chunks, after as long as they take."""
        await self._link.move(len(ids) * CHUNK)
        return await super().load(ids, sequential=sequential)


class LaneLoader(CountingLoader):
    """A loader of packs whose shards of `SHARD` bytes lie on several links, `k` of each pack on
    links of their own, dealt as packs are stored."""

    def __init__(self, links: Sequence[Link], k: int, m: int) -> None:
        super().__init__()
        self._lanes: list[Link] = []
        ids = {BackendId(bytes([number]) * 16): link for number, link in enumerate(links)}
        even, candidates = Evenness(), [Candidate(id_, id_.hex(), 1.0) for id_ in ids]
        for number in range(PACKS):
            places = place(number.to_bytes(16, "big"), candidates, k + m)
            self._lanes += [ids[where] for where in even.deal(places, k)[:k]]

    async def load(
        self, ids: Sequence[ChunkId], *, sequential: bool = False
    ) -> dict[ChunkId, Loaded]:
        """The chunks, after as long as the shard that they lie in takes."""
        number = int.from_bytes(ids[0][4:8], "big")
        await self._lanes[number * CHUNK // SHARD].move(len(ids) * CHUNK)
        return await super().load(ids, sequential=sequential)
