"""Hedged reads: a range of one shard, and when it is late the same range made from other shards.

Whoever is first wins, and the other is cancelled: its slots at the backends are free at once. The
memory that a cancelled read was given is left alone, for a thread may still write to it.

Hedges cost k reads for one. Those that come too late are counted, and few of those are allowed: so
where everything is slow, for a reason that hedging cannot help, it adds next to nothing.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from ...errors import BackendError, DamageError
from ..index.records import PackRecord
from .fetching import Fetcher
from .lateness import Clock

BURST: Final = 16.0
"""Hedges under way or in vain, at most,"""
FIRST: Final = 2.0
"""at first fewer, for what is usual is hardly known yet;"""
EARNED: Final = 0.005
"""one more for each read that was answered, times this,"""
PAUSE: Final = 1.0
"""or after so many seconds while late reads wait for one: some of them may hang."""

Make = Callable[[frozenset[int]], Awaitable[memoryview]]
"""Makes the bytes that a read should bring, in memory of its own, without those shards."""

log = logging.getLogger(__name__)


class Hedges:
    """Reads ranges of single shards, hedged while the clock's alarms run."""

    def __init__(self, fetcher: Fetcher, clock: Clock) -> None:
        self.fetcher = fetcher
        self.clock = clock
        self._allowed = FIRST
        self._waiting: dict[_Race, None] = {}
        self._ticking = False

    def want(self, race: "_Race") -> None:
        """Have a late read hedged, at once or when one more is allowed; the first come first."""
        self._waiting[race] = None
        self._begin()

    def forget(self, race: "_Race") -> None:
        """It need not be hedged any more."""
        self._waiting.pop(race, None)

    def earn(self, share: float) -> None:
        """Allow more: 1.0 for a hedge that was of use."""
        self._allowed = min(BURST, self._allowed + share)
        if self._waiting:
            self._begin()

    def _begin(self) -> None:
        while self._waiting and self._allowed >= 1.0:
            self._allowed -= 1.0
            race = next(iter(self._waiting))
            self.forget(race)
            race.begin()
        if self._waiting and not self._ticking:
            self._ticking = True
            self.clock.alarms.at(trio.current_time() + PAUSE, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        if self._waiting:
            self.earn(1.0)

    async def fetch(
        self, record: PackRecord, index: int, offset: int, out: memoryview, make: Make
    ) -> memoryview | None:
        """`out`, filled from shard `index`; or what `make` made; None where neither could be had.

        Unless it is `out` a thread may go on writing there.
        """
        member = self.fetcher.shards.holder(record, index)
        race = _Race(self, record, index, make)
        try:
            with race.read, self.clock.timing(member, out.nbytes, race.hedge):
                if await self.fetcher.fetch(record, index, offset, out):
                    self.earn(EARNED)
                    return out
            return await race.outcome()
        finally:
            self.forget(race)
            race.made.cancel()


class _Race:
    """One read against its hedge."""

    __slots__ = ("_data", "_ended", "_hedges", "_index", "_make", "_record", "made", "read")

    def __init__(self, hedges: Hedges, record: PackRecord, index: int, make: Make) -> None:
        self._hedges = hedges
        self._record = record
        self._index = index
        self._make = make
        self._data: memoryview | None = None
        self._ended: trio.Event | None = None
        self.read = trio.CancelScope()
        self.made = trio.CancelScope()

    def hedge(self) -> None:
        """The read is late."""
        self._hedges.want(self)

    def begin(self) -> None:
        """Make its bytes from other shards."""
        ended = trio.Event()
        if self._hedges.clock.alarms.spawn(self._run):
            self._ended = ended

    async def outcome(self) -> memoryview | None:
        """What the hedge made, now that the read has failed or was beaten."""
        if self._ended is not None:
            await self._ended.wait()
        return self._data

    async def _run(self) -> None:
        try:
            with self.made:
                # What lies on the same backend would be late as well.
                beside = self._hedges.fetcher.shards.beside(self._record, self._index)
                self._data = await self._make(beside)
                self._hedges.earn(1.0)
                self.read.cancel()
        except (BackendError, DamageError) as error:
            log.info("a read that is late cannot be hedged: %s", error)
        except Exception:
            # It may fail a read, but not all that goes on in the store.
            log.exception("hedging a read failed")
        finally:
            if self._ended is not None:
                self._ended.set()
