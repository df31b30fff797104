"""A link with a delay and a bandwidth, in the event loop's time: for MockClock.

Each transfer waits `delay` seconds, then moves at `each` bytes a second at most, and all of them
together at `total`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.read.cache import Loaded
from modelfloat.ids import ChunkId, Key
from modelfloat.tests.support.countingloader import CHUNK, CountingLoader


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


class SlowBackend(MemoryBackend):
    """A backend in memory at the other end of a link; what is put is there at once."""

    link: Link

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        await self.link.move(buffer.nbytes)
        await super().get_into(key, offset, buffer)
