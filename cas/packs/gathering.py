"""Any k shards' ranges of a pack: the first k that come.

As many are asked as are needed. One that fails, or is late, has another one asked in its place;
when k are there, those that are still under way are cancelled.
"""

from collections import deque
from collections.abc import Callable, Sequence

import trio

from ..index.records import PackRecord
from .fetching import Fetcher
from .lateness import Clock


class Gatherer:
    """Gathers shards' ranges for decoding."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self.fetcher = fetcher
        self.clock = clock

    async def gather(
        self,
        record: PackRecord,
        offset: int,
        candidates: Sequence[int],
        buffer_of: Callable[[int], memoryview],
    ) -> dict[int, memoryview]:
        """Ranges from `offset` on of k of the candidates, those first in the list preferred.

        They lie in `buffer_of(shard)`; into those of others a thread may still write. DataLostError
        where fewer than k can be had.
        """
        return await _Gathering(self, record, offset, candidates, buffer_of).run()


class _Gathering:
    """One of them. `under_way` counts shards asked that have not answered."""

    def __init__(
        self,
        tools: Gatherer,
        record: PackRecord,
        offset: int,
        candidates: Sequence[int],
        buffer_of: Callable[[int], memoryview],
    ) -> None:
        self._tools = tools
        self._record = record
        self._offset = offset
        self._waiting = deque(candidates)
        self._buffer_of = buffer_of
        self._present: dict[int, memoryview] = {}
        self._under_way = 0

    async def run(self) -> dict[int, memoryview]:
        """See `Gatherer.gather`."""
        record = self._record
        if len(self._waiting) >= record.k:
            async with trio.open_nursery() as self._nursery:
                for _ in range(record.k):
                    self._ask_next()
        if len(self._present) < record.k:
            raise self._tools.fetcher.shards.lost(record, {*self._present, *self._waiting})
        return self._present

    def _ask_next(self) -> None:
        if self._waiting:
            self._under_way += 1
            self._nursery.start_soon(self._fetch, self._waiting.popleft())

    async def _fetch(self, index: int) -> None:
        buffer = self._buffer_of(index)
        fetcher = self._tools.fetcher
        member = fetcher.shards.holder(self._record, index)
        with self._tools.clock.timing(member, buffer.nbytes, self._ask_next) as timing:
            good = await fetcher.fetch(self._record, index, self._offset, buffer)
        self._under_way -= 1
        if good:
            self._present[index] = buffer
        elif not timing.late:
            self._ask_next()
        in_reach = len(self._present) + self._under_way + len(self._waiting)
        if len(self._present) >= self._record.k or in_reach < self._record.k:
            self._nursery.cancel_scope.cancel()
