"""Loads by the threads that read: each chunk is claimed by one of them, or by the event loop.

A thread that loads a chunk, hashes it and sends it on has it in its core's cache all the while, and
wakes nobody. What does not go smoothly is left to the event loop, which knows what to do; so no
failure leaves this module.

Concurrency: `load` and `wait` are for threads, `landed` for the event loop. They share the table of
flights, of which every step is one of the interpreter's: who first puts a chunk there loads it. At
most LOADERS threads load at a time, so that one that hangs leaves others to take requests; what it
claimed is taken from it by who has waited for it long enough.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from threading import BoundedSemaphore
from typing import Final

import trio

from ...ids import ChunkId
from .budget import MemoryBudget
from .cache import ChunkCache
from .counters import Ahead, ReadCounters
from .flight import Claim, Flight
from .loader import PATIENCE
from .recipe import ChunkSpan
from .supply import Supply

LOADERS: Final = 2
"""Threads that load at a time. Who reads with as many, or fewer, is to leave it to the loop."""
HURRY: Final = 0.05
"""Seconds that a load by a thread may take until others that read wait for it no more."""

Soon = Callable[[Callable[[], object]], None]
"""Has a job done in the event loop, whichever thread calls it."""

log = logging.getLogger(__name__)


class Claims:
    """The loads by threads of a store's readers; what they bring goes into the cache.

    A thread takes one of `turns` before it loads, or does without: it never waits for that.
    """

    def __init__(
        self,
        flights: dict[ChunkId, Flight],
        cache: ChunkCache,
        budget: MemoryBudget,
        counters: ReadCounters,
        ahead: Ahead,
    ) -> None:
        self._flights = flights
        self._cache = cache
        self._budget = budget
        self._counters = counters
        self._ahead = ahead
        self.turns = BoundedSemaphore(LOADERS)
        # Given up, and their threads have not come back; by id().
        self._lost: dict[int, Claim] = {}

    @property
    def hanging(self) -> bool:
        """Whether a thread hangs, with one of the `turns`: it is not to be waited for."""
        return bool(self._lost)

    # What threads call

    def load(self, spans: Sequence[ChunkSpan], supply: Supply, soon: Soon) -> bool:
        """Load what of `spans` is neither in memory nor on its way; the thread has one of `turns`.

        False where that did not go well, and is better left to the event loop.
        """
        wanted = [span for span in spans if span.id not in self._cache]
        return not wanted or self._claim(wanted, supply, soon)

    def wait(self, id_: ChunkId) -> None:
        """Wait a moment for a chunk that another thread loads."""
        claim = self._flights.get(id_)
        if isinstance(claim, Claim):
            left = claim.begun + HURRY - time.monotonic()
            if left > 0 and claim.busy.acquire(timeout=left):
                claim.busy.release()

    def let_go(self, spans: Iterable[ChunkSpan]) -> None:
        """A stream has read these chunks: their memory is the next to be used again."""
        self._cache.let_go(span.id for span in spans)

    def _claim(self, spans: Sequence[ChunkSpan], supply: Supply, soon: Soon) -> bool:
        claim = Claim()
        mine = [s for s in spans if self._flights.setdefault(s.id, claim) is claim]
        try:
            # What came since it was looked for need not come again.
            return self._bring([s for s in mine if s.id not in self._cache], claim, supply)
        finally:
            self._remove(claim, (span.id for span in mine))
            claim.busy.release()
            claim.ended = True
            self._lost.pop(id(claim), None)
            if claim.awaited:
                soon(claim.landed.set)

    def _bring(self, spans: list[ChunkSpan], claim: Claim, supply: Supply) -> bool:
        cost = 2 * sum(span.raw for span in spans)
        if not spans:
            return True
        if not self._budget.take(cost):
            return False
        self._counters.loads += 1
        for span in spans:
            self._ahead.begin(span.id, span.raw)
        try:
            claim.data = supply.load_now(spans, claim.asked)
        except Exception as error:  # noqa: BLE001  the event loop meets it again, and tells of it
            log.debug("chunks are left to the event loop: %s", error)
        finally:
            self._budget.give(cost)
        for id_, chunk in claim.data.items():
            self._cache.put(id_, chunk)
        return self._all_came(spans, claim)

    def _all_came(self, spans: list[ChunkSpan], claim: Claim) -> bool:
        lacking = [span.id for span in spans if span.id not in claim.data]
        for id_ in lacking:
            self._ahead.drop(id_)
        self._counters.loads_failed += bool(lacking)
        return not lacking

    def _remove(self, claim: Claim, ids: Iterable[ChunkId]) -> None:
        for id_ in ids:
            # The event loop may have taken it, and load it itself; or takes it at this moment.
            if self._flights.get(id_) is claim:
                self._flights.pop(id_, None)

    # What the event loop calls

    async def landed(self, id_: ChunkId, claim: Claim, supply: Supply) -> None:
        """Wait until a claim has ended; or take the chunk from a thread that seems to hang."""
        claim.awaited = True
        # A thread looks whether it is awaited when nobody finds its claim any more.
        if self._flights.get(id_) is not claim:
            return
        # From when it began: a claim may have many chunks, and each is waited for by itself.
        left = claim.begun + PATIENCE - time.monotonic()
        with trio.move_on_after(max(left, 0.0)) as scope:
            await claim.landed.wait()
        if scope.cancelled_caught:
            log.info("a thread waits for a backend in vain; its chunk is loaded another way")
            supply.give_up(claim.asked)
            self._lose(claim)
            self._remove(claim, [id_])

    def _lose(self, claim: Claim) -> None:
        self._lost[id(claim)] = claim
        # Its thread forgets it when it has ended; so it may have done already.
        if claim.ended:
            self._lost.pop(id(claim), None)
