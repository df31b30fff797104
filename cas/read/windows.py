"""How far ahead of a stream is loaded: windows, and what all streams of a store share.

A window is as long as bandwidth × delay asks for (`cas.read.pace`): with a few times the product
on its way nobody waits for a link, and what comes early has somewhere to lie. It doubles up to
there, so it stops growing when more brings nothing. On disks at hand the product is small; windows
stay within what the processor's caches and a few recycled buffers hold.

Concurrency: used in the event loop.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

from .budget import MemoryBudget
from .cache import ChunkCache
from .pace import Pace
from .streams import Stream

CACHE: Final = 32 << 20
"""Bytes of verified chunks kept in memory, while no window needs more.

Small on purpose: the kernel's page cache keeps what was read, and memory touched for the first time
costs more than reading the chunk again (bench/read: 1.1 GB/s with 96 MiB, 2.0 with 32).
"""
FIRST_WINDOW: Final = 4 << 20
LARGEST_WINDOW: Final = 16 << 20
"""What all windows together may take, bytes, whatever bandwidth and delay are."""
SMALLEST_WINDOW: Final = 2 << 20
"""However many streams there are, each has the next chunk loaded while it reads one."""
GAIN: Final = 3
"""Windows to the product. With less than 2.9 (BBR's `startup_gain`, rounded up) they would not grow
to where they have to be: they are never quite full, and loads take longer than the least time.
"""
FAR: Final = 0.02
"""Seconds that a load takes at least from far backends, each of which may be the narrow place:"""
SPREAD: Final = 192 << 20
"""so many bytes, three packs, are then on their way, for a shard lies on one backend as a whole: a
shorter window waits for one while others have nothing to do (six links of 20 MB/s, 80 ms away,
gave half of what they had with a window of 3 × the product, and 88 % with this)."""
ASSUMED: Final = 400e6
"""Bytes a second that weights are taken to come at, until it is known."""
BEHIND: Final = 2 << 20
"""Bytes behind a stream for which it may come back: requests overtake each other."""
STEP: Final = 8 << 20
"""Bytes loaded at a time, at most: so loads stay long and the reader rarely asks."""
ACTIVE: Final = 10.0
"""Seconds for which a stream that does not read still counts when memory is shared out."""


class Windows:
    """Shares the memory out among the streams that read."""

    def __init__(self, cache: ChunkCache, budget: MemoryBudget, far: Callable[[], bool]) -> None:
        """`far` says whether backends lie behind a network; a busy machine makes near ones late,
        too."""
        self._cache = cache
        self._budget = budget
        self._far = far
        # When each stream last read, that which did so longest ago first.
        self._active: OrderedDict[Stream, float] = OrderedDict()
        self._granted = 0
        self._at_random = 0
        self._fit_cache()

    def first(self, pace: Pace, *, weights: bool) -> int:
        """The first window of a stream in a file whose loads so far say `pace`, bytes.

        Weights are read to their end, mostly; so where their first chunk took long the window is
        long at once.
        """
        assumed = max(int(pace.delay * ASSUMED), self._spread(pace)) if weights else 0
        return min(max(assumed, FIRST_WINDOW), self._share(0))

    def length(self, stream: Stream) -> int:
        """How long the window of `stream` may be, bytes, now that it reads on."""
        now = trio.current_time()
        self._active[stream] = now
        self._active.move_to_end(stream)
        while (oldest := next(iter(self._active.items())))[1] < now - ACTIVE:
            self.forget(oldest[0])
        window = min(stream.window, self._share(stream.granted))
        if stream.pace.looking(now):
            window = max(window // 4, SMALLEST_WINDOW)
        # What is there already stays, when the window has become shorter.
        self._grant(stream, max(window, stream.ahead - stream.position))
        return window

    def grow(self, stream: Stream) -> None:
        """All of its window is under way: it may be twice as long, if its reader had to wait."""
        alone = LARGEST_WINDOW // max(len(self._active), 1)
        useful = max(GAIN * stream.pace.product, alone, self._spread(stream.pace))
        # Shorter only little by little: the first loads of a window tell less than all of it.
        least = max(stream.window - stream.window // 8, SMALLEST_WINDOW)
        longer = 2 * stream.window if stream.waited else stream.window
        stream.window = max(min(longer, useful), least)
        stream.waited = False
        self._at_random = max(self._at_random - STEP, 0)

    def keep(self, size: int) -> None:
        """So many bytes were loaded for a read at random: they may be read again, so they stay
        as long as no stream comes by that needs the memory."""
        self._at_random = min(self._at_random + size, self._budget.limit // 4)
        self._fit_cache()

    def few(self, streams: int) -> bool:
        """Whether no more than so many read."""
        return len(self._active) <= streams

    def forget(self, stream: Stream) -> None:
        """The stream reads no more."""
        if self._active.pop(stream, None) is not None:
            self._grant(stream, 0)

    def _share(self, granted: int) -> int:
        """What a stream may have that was granted so much: what no other was, and its part of all
        in any case."""
        # Half of the memory is for what is ahead; what is on its way counts twice (see `Flights`).
        whole = self._budget.limit // 4
        part = whole // max(len(self._active), 1)
        return max(whole - (self._granted - granted), part, SMALLEST_WINDOW)

    def _spread(self, pace: Pace) -> int:
        """The shortest window that keeps all backends at work, where loads say `pace`."""
        return SPREAD if pace.delay > FAR and self._far() else 0

    def _grant(self, stream: Stream, window: int) -> None:
        self._granted += window - stream.granted
        stream.granted = window
        self._fit_cache()

    def _fit_cache(self) -> None:
        # What one stream has ahead must not push out what another has not read yet. Buffers are
        # not quite full, and each is kept until all of it was read.
        wanted = max(CACHE, 2 * self._granted + BEHIND * len(self._active)) + self._at_random
        self._cache.budget = min(wanted, self._budget.limit // 2)
