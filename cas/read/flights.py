"""Loads under way: each chunk is loaded once, however many ask for it.

Concurrency: used in the event loop. Who comes second waits for the first one's load, and shares its
outcome; only the chunks of a load of several that failed are loaded once more, each alone. A task
that waits holds no lock; loads run in the nursery that was given (the engine's), so a task that is
cancelled while it waits cancels nobody's load.
"""

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from ...errors import ChunkDamagedError, UsageError, first_failure
from ...ids import ChunkId
from .cache import ChunkCache, Loaded
from .counters import Ahead, ReadCounters
from .loader import EXTENT
from .recipe import ChunkSpan
from .supply import Supply

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Flight:
    """One load under way, of one chunk if `alone`.

    When `landed` is set, `data` has the chunks; or it is empty and `failure` says why, None if the
    load was cancelled.
    """

    alone: bool
    landed: trio.Event = field(default_factory=trio.Event)
    data: dict[ChunkId, Loaded] = field(default_factory=dict)
    failure: Exception | None = None


class Flights:
    """All loads of a store's readers; what they bring goes into the cache."""

    def __init__(
        self, cache: ChunkCache, nursery: trio.Nursery, counters: ReadCounters, ahead: Ahead
    ) -> None:
        self.counters = counters
        self._cache = cache
        self._nursery = nursery
        self._ahead = ahead
        self._flights: dict[ChunkId, _Flight] = {}

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
        self,
        spans: Sequence[ChunkSpan],
        supply: Supply,
        *,
        sequential: bool,
        ahead: bool = False,
    ) -> None:
        """Begin to load what of `spans` is neither in memory nor on its way; `ahead` says that
        nobody waits for it yet."""
        batch: dict[ChunkId, ChunkSpan] = {}
        size = 0
        for span in spans:
            if span.id in self._cache or span.id in self._flights or span.id in batch:
                continue
            if size + span.raw > EXTENT:
                self._launch(list(batch.values()), supply, sequential)
                batch, size = {}, 0
            batch[span.id] = span
            size += span.raw
            if ahead:
                self._ahead.begin(span.id, span.raw)
        self._launch(list(batch.values()), supply, sequential)

    def _launch(self, spans: list[ChunkSpan], supply: Supply, sequential: bool) -> None:
        if spans:
            flight = _Flight(alone=len(spans) == 1)
            self._flights.update(dict.fromkeys((span.id for span in spans), flight))
            self.counters.loads += 1
            self._nursery.start_soon(self._fly, flight, spans, supply, sequential)

    async def _fly(
        self, flight: _Flight, spans: list[ChunkSpan], supply: Supply, sequential: bool
    ) -> None:
        try:
            flight.data = await supply.load(spans, sequential=sequential)
            for span in spans:
                self._cache.put(span.id, flight.data[span.id])
        except Exception as error:
            # Whoever waits hears of it. What is no error of ours is a mistake in the program: it
            # may fail a read, but not the mount around it.
            self.counters.loads_failed += 1
            for span in spans:
                self._ahead.drop(span.id)
            flight.failure = first_failure(error)
            if flight.failure is None:
                log.exception("a load ahead of a reader failed")
                flight.failure = error
        finally:
            for span in spans:
                del self._flights[span.id]
            flight.landed.set()

    async def chunk(self, span: ChunkSpan, supply: Supply, *, sequential: bool) -> Loaded:
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
            self.start([span], supply, sequential=sequential)
            flight = self._flights[span.id]
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
