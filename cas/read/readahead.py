"""Loading ahead in one file: for each stream as far as `reach` says, within its window.

Concurrency: used in the event loop; the region table is read in a worker thread.
"""

import logging
from typing import Final

import trio

from ...errors import ModelFloatError
from ..chunking.regions import MAX_CHUNK
from .claims import LOADERS
from .flights import Flights
from .heads import READ_ON, Heads
from .pace import Pace
from .reach import Reach, enter, reach_of
from .recipe import Recipe
from .regions import RegionTable
from .sets import SetAhead
from .streams import Stream, Streams
from .supply import Supply
from .tensormap import PAGE, TensorMap
from .windows import BEHIND, STEP, Windows

LONG: Final = 0.02
"""Seconds that a load takes at least where few threads should not wait for it: more has to be on
its way than they can load."""

log = logging.getLogger(__name__)


class ReadAhead:
    """The streams of one file, and what is loaded for them. `pace` is that of its other loads."""

    def __init__(
        self,
        flights: Flights,
        windows: Windows,
        nursery: trio.Nursery,
        recipe: Recipe,
        regions: RegionTable,
        supply: Supply,
        others: SetAhead | None = None,
    ) -> None:
        self.streams = Streams()
        self.pace = Pace(0)
        self._flights = flights
        self._windows = windows
        self._nursery = nursery
        self._recipe = recipe
        self._regions = regions
        self._supply = supply
        self._others = others
        # Set by threads that read, and could load what they need next.
        self.by_threads = False
        self._begun = False
        self._size = recipe.manifest.size
        self._tensors: TensorMap | None = None
        self._heads = Heads(flights, windows, recipe, supply, self.pace)
        self._unread = bool(regions)
        self._waits = bool(regions)

    def read(self, offset: int, size: int) -> None:
        """Take note of a read that was answered, and load ahead of it."""
        self.note(offset, size)
        self.load()

    def wait(self) -> None:
        """What the latest read asks for is not all there."""
        stream = self.streams.latest
        if stream is not None:
            stream.waited = True
            if not stream.trusted:
                self._windows.keep(MAX_CHUNK)

    def note(self, offset: int, size: int) -> bool:
        """Take note of a read; whether it goes on where another stood."""
        before = self.streams.latest
        stream = self.streams.find(offset)
        known = stream is not None
        if stream is None:
            stream = self._begin(offset, offset + size)
        else:
            stream.move(offset, offset + size)
            stream, joined = self.streams.join(stream)
            if joined is not None:
                self._windows.forget(joined)
        stream.seen = (offset, size)
        stream.trusted = known
        if self._tensors is not None and stream.run <= READ_ON:
            self._heads.read(offset, size, self._tensors, before)
        return known

    def _begin(self, offset: int, end: int) -> Stream:
        """A new stream; where another was about to read, that loads more: both have to go on."""
        leader = self.streams.led(offset)
        if leader is None or not leader.window:
            stream = Stream(offset, end, end, 0, passed=offset)
        else:
            leader.lead = max(leader.lead, end)
            self._load_for(leader)
            stream = leader.fork(offset, end)
        forgotten = self.streams.add(stream)
        if forgotten is not None:
            self._windows.forget(forgotten)
        return stream

    def load(self) -> None:
        """Load ahead of the stream that read last, if it is worth it."""
        stream = self.streams.latest
        if stream is None:
            return
        if self._waits:
            return
        if stream.until and self._flights.claims.hanging:
            stream.until = stream.due = 0
        if stream.position - stream.passed >= 2 * BEHIND:
            self._leave_behind(stream)
        if stream.trusted and stream.position <= stream.due:
            return
        if self._tensors is not None:
            enter(stream, *stream.seen, self._tensors, self._size)
        if stream.trusted or stream.entered:
            self._load_for(stream)

    def _load_for(self, stream: Stream) -> None:
        if not stream.window:
            stream.window = self._windows.first(self.pace, weights=self._tensors is not None)
        window = self._windows.length(stream)
        reach = reach_of(stream, self.streams, self._tensors, self._size)
        if self._by_threads(stream, window, reach):
            return
        step = min(window // 2, STEP)
        if reach.moving:
            step = min(step, stream.run // 2)
        start = max(stream.ahead, stream.position)
        target = min(max(stream.position, stream.lead) + window, reach.end)
        lacks = target - start
        if lacks >= step or (lacks > 0 and target == reach.end and not reach.moving):
            if not self._flights.start_ahead(
                self._recipe.spans(start, lacks), self._supply, stream.pace
            ):
                # Memory is short. Who reads on loads what it needs, and asks again.
                stream.due = stream.position
                return
            stream.ahead = target
            self._windows.grow(stream)
        if stream.ahead >= self._size:
            self._follow(stream, window)
        stream.due = _due(stream, window, step, reach)

    def _by_threads(self, stream: Stream, window: int, reach: Reach) -> bool:
        """Whether the threads that read load ahead themselves, up to where `reach` says."""
        stream.until = 0
        if not (self.by_threads and self._supply.at_hand and self._windows.few(LOADERS)):
            return False
        if self._flights.claims.hanging:
            return False
        if stream.pace.delay > LONG:
            return False
        if reach.moving or not stream.careful <= stream.position < reach.end:
            return False
        last = self._size - window
        if stream.position >= last:
            self._follow(stream, window)
            last = reach.end
        stream.due = min(last, reach.end)
        stream.reached = stream.position
        stream.until = reach.end
        return True

    def _follow(self, stream: Stream, window: int) -> None:
        """All of the file is on its way, or soon will be: go on with the next of its set."""
        if self._others is not None and stream.start < PAGE:
            self._others.go_on(window)

    def _leave_behind(self, stream: Stream) -> None:
        passed = stream.passed  # threads that read may change it
        spans = self._recipe.spans(passed, stream.position - BEHIND - passed)
        if spans:
            self._flights.passed(spans[:-1], alone=self._windows.few(1))
            stream.passed = spans[-1].offset

    async def learn(self) -> None:
        """Have the region table read, if there is one; until then nothing is loaded ahead.

        One of many pages is not waited for, nor are other files of the file's set.
        """
        if self._others is not None and not self._begun:
            self._begun = True
            self._nursery.start_soon(self._others.learn)
        if not self._unread:
            return
        self._unread = False
        if self._recipe.manifest.region_pages:
            self._nursery.start_soon(self._find_tensors)
        else:
            await self._find_tensors()

    async def _find_tensors(self) -> None:
        try:
            self._tensors = await trio.to_thread.run_sync(TensorMap, self._regions)
        except ModelFloatError as error:
            # It is a help only. Whether the file can be read shows when its chunks are.
            log.debug("a region table cannot be used: %s", error)
        except trio.Cancelled:
            self._unread = True  # who reads next has it read
            raise
        except Exception:  # a mistake in the program must not end the mount
            log.exception("a region table cannot be used")
        self._waits = False
        self.load()

    def close(self) -> None:
        """The streams leave the memory to others."""
        for stream in self.streams:
            self._windows.forget(stream)
        self.streams.clear()
        if self._others is not None:
            self._others.close()


def _due(stream: Stream, window: int, step: int, reach: Reach) -> int:
    """Up to where the stream may read until there is something to load again."""
    ahead = max(stream.ahead, stream.position)
    if reach.moving:
        # What it may load grows by two bytes with each that it reads.
        lacks = min(stream.position + window, reach.end) - ahead
        return stream.position + max(step - lacks, 0) // 2
    return reach.end if ahead >= reach.end else ahead - window + step
