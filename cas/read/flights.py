"""Loads under way: each chunk is loaded once, however many ask for it.

Concurrency: used in the event loop; threads load by `claims`, which share the table. Who comes
second waits for the first one's load, and shares its outcome; only the chunks of a load of several
that failed are loaded once more, each alone. A task that waits holds no lock; loads run in the
nursery that was given (the engine's), so a task that is cancelled while it waits cancels nobody's
load.

Memory: a load is charged twice its bytes while it is under way, once for what comes and once for
what is made of it; afterwards the cache is charged for what it keeps.
"""

import copy
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import trio

from ...errors import ChunkDamagedError, UsageError, first_failure
from ...ids import ChunkId
from .budget import MemoryBudget
from .cache import ChunkCache, Loaded
from .claims import Claims
from .counters import Ahead, ReadCounters
from .extents import EXTENT
from .flight import Claim, Flight
from .pace import Pace
from .recipe import ChunkSpan, extents
from .supply import Supply

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Order:
    """What one load brings, from where; `pace` hears how long it took."""

    spans: list[ChunkSpan]
    supply: Supply
    pace: Pace
    sequential: bool

    async def load(self) -> dict[ChunkId, Loaded]:
        """The chunks."""
        return await self.supply.load(self.spans, sequential=self.sequential)


def _size(spans: Iterable[ChunkSpan]) -> int:
    return sum(span.raw for span in spans)


def _cost(spans: Iterable[ChunkSpan]) -> int:
    return 2 * _size(spans)


class Flights:
    """All loads of a store's readers; what they bring goes into the cache."""

    def __init__(
        self,
        cache: ChunkCache,
        budget: MemoryBudget,
        nursery: trio.Nursery,
        counters: ReadCounters,
        ahead: Ahead,
    ) -> None:
        self.counters = counters
        self._cache = cache
        self._budget = budget
        self._nursery = nursery
        self._ahead = ahead
        self._flights: dict[ChunkId, Flight] = {}
        self.claims = Claims(self._flights, cache, budget, counters, ahead)

    def cached(self, span: ChunkSpan, *, sequential: bool) -> Loaded | None:
        """A chunk that is in memory. Any thread may ask."""
        # A stream does not come back. If what it has read stayed longest, what is loaded ahead of
        # it, and of others, would have to go first.
        chunk = self._cache.get(span.id, passing=sequential)
        if chunk is None:
            return None
        self._ahead.use(span.id)
        return _expected(span, chunk)

    def start(
        self, spans: Iterable[ChunkSpan], supply: Supply, pace: Pace, *, sequential: bool
    ) -> None:
        """Begin to load what of `spans` is neither in memory nor on its way; somebody waits.

        `pace` hears how long each load takes.
        """
        for batch in self._batches(spans):
            self._budget.charge(_cost(batch))
            self._launch(_Order(batch, supply, pace, sequential))

    def start_ahead(self, spans: Iterable[ChunkSpan], supply: Supply, pace: Pace) -> bool:
        """As `start`, for a stream that will come to read them; False if memory ran out first."""
        for batch in self._batches(spans):
            cost = _cost(batch)
            if not self._take(cost):
                return False
            for span in batch:
                self._ahead.begin(span.id, span.raw)
            self._launch(_Order(batch, supply, pace, sequential=True))
        return True

    def _take(self, cost: int) -> bool:
        """Charge so much, even if chunks that were passed must go for it."""
        return self._budget.take(cost) or (self._cache.shed(cost) and self._budget.take(cost))

    def _batches(self, spans: Iterable[ChunkSpan]) -> Iterator[list[ChunkSpan]]:
        """What has to be loaded of `spans`, in loads of at most EXTENT bytes."""
        return extents(self._lacking(spans), EXTENT)

    def _lacking(self, spans: Iterable[ChunkSpan]) -> Iterator[ChunkSpan]:
        """Each chunk once that is neither in memory nor on its way."""
        asked = set[ChunkId]()
        for span in spans:
            if span.id not in self._cache and span.id not in self._flights and span.id not in asked:
                asked.add(span.id)
                yield span

    def _launch(self, order: _Order) -> None:
        flight = Flight(alone=len(order.spans) == 1)
        self._flights.update(dict.fromkeys((span.id for span in order.spans), flight))
        self.counters.loads += 1
        order.supply.hold()
        self._nursery.start_soon(self._fly, flight, order)

    async def _fly(self, flight: Flight, order: _Order) -> None:
        begun = order.pace.start(trio.current_time())
        try:
            try:
                flight.data = await order.load()
            finally:
                self._budget.give(_cost(order.spans))
            order.pace.end(begun, _size(order.spans), trio.current_time())
            for span in order.spans:
                self._cache.put(span.id, flight.data[span.id])
        except Exception as error:
            # Whoever waits hears of it. What is no error of ours is a mistake in the program: it
            # may fail a read, but not the mount around it.
            flight.failure = first_failure(error)
            if flight.failure is None:
                log.exception("a load ahead of a reader failed")
                flight.failure = error
            self._count_failure(order.spans)
        finally:
            for span in order.spans:
                self._flights.pop(span.id, None)
            order.supply.close()
            flight.landed.set()

    def _count_failure(self, spans: Iterable[ChunkSpan]) -> None:
        self.counters.loads_failed += 1
        for span in spans:
            self._ahead.drop(span.id)

    def passed(self, spans: Iterable[ChunkSpan], *, alone: bool) -> None:
        """A stream has read these chunks and does not come back; `alone` says that none else reads
        on."""
        self._cache.passed((span.id for span in spans), alone=alone)

    async def chunk(
        self, span: ChunkSpan, supply: Supply, pace: Pace, *, sequential: bool
    ) -> Loaded:
        """One chunk, verified; from memory, a load under way, or a new load.

        When a load of several chunks failed, perhaps because of another one of them, this one is
        loaded alone; for all who wait for it together. ChunkDamagedError, DataLostError or another
        ModelFloatError where that fails too.
        """
        while True:
            data = self.cached(span, sequential=sequential)
            if data is not None:
                return data
            self._ahead.use(span.id)
            self.start([span], supply, pace, sequential=sequential)
            flight = self._flights.get(span.id)
            if flight is None:
                continue  # a thread has loaded it at this moment
            if isinstance(flight, Claim):
                await self.claims.landed(span.id, flight, supply)
            else:
                await flight.landed.wait()
            if span.id in flight.data:
                return _expected(span, flight.data[span.id])
            if flight.alone:
                # A copy each: a traceback belongs to one task.
                raise copy.copy(flight.failure) or UsageError(
                    "the store was closed while a file was being read"
                )


def _expected(span: ChunkSpan, chunk: Loaded) -> Loaded:
    """The chunk, if it is as long as the manifest says: else what follows it would be shifted."""
    if chunk.size != span.raw:
        raise ChunkDamagedError(
            f"a manifest says that chunk {span.id.hex()[:16]} holds {span.raw} bytes, but it holds "
            f"{chunk.size}; add the file again"
        )
    return chunk
