"""READs that wait for their bytes, and a word about those that wait long.

One line a minute names one of them; how many more there were is told with the next line. A read
that never ends is told as well: `watch` looks at those that wait.

Concurrency: used in the event loop only. A read of the hot path that is answered from memory does
not come by.
"""

import logging
from dataclasses import dataclass
from typing import Final

import trio

from ..cas.read.counters import ReadCounters, clock
from .handles import OpenedFile

QUIET: Final = 60.0
"""Seconds between two lines."""
LOOK: Final = 0.5
"""Seconds between two looks at those that wait, at least."""
NEVER: Final = 1 << 63

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiting:
    """A READ of `size` bytes at `offset` of a file, that came at `begun` (ns by `clock`)."""

    file: OpenedFile
    offset: int
    size: int
    begun: int
    slow: bool = False


class SlowReads:
    """The READs of a mount that wait. Those that take `threshold` seconds are slow; 0: none is."""

    def __init__(self, counters: ReadCounters, threshold: float) -> None:
        self._counters = counters
        self._limit = int(threshold * 1e9) or NEVER
        self._look = max(LOOK, threshold / 4)
        self._waiting: dict[Waiting, None] = {}
        self._told: float | None = None
        self._more = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def longest_ns(self) -> int:
        """For how long the first of them has waited, nanoseconds."""
        first = next(iter(self._waiting), None)
        return 0 if first is None else clock() - first.begun

    def begin(self, file: OpenedFile, offset: int, size: int, came: int) -> Waiting:
        """A read waits, since `came`."""
        read = Waiting(file, offset, size, came)
        self._waiting[read] = None
        return read

    def end(self, read: Waiting) -> None:
        """It has its answer, or was given up."""
        del self._waiting[read]
        taken = clock() - read.begun
        if taken >= self._limit:
            self._note(read, taken)

    async def watch(self) -> None:
        """Tell of those that wait long and may wait for ever. Runs until it is cancelled."""
        while self._limit < NEVER:
            await trio.sleep(self._look)
            now = clock()
            for read in self._waiting:
                if now - read.begun >= self._limit:
                    self._note(read, now - read.begun)

    def _note(self, read: Waiting, taken: int) -> None:
        if read.slow:
            return
        read.slow = True
        self._counters.slow += 1
        now = trio.current_time()
        if self._told is not None and now - self._told < QUIET:
            self._more += 1
            return
        more = f", {self._more} others before it" if self._more else ""
        self._told, self._more = now, 0
        log.warning(
            "a read of %d bytes at %d of %s (pid %d) takes %s%s; "
            "`modelfloat stats --mount` shows whether a backend is slow",
            read.size,
            read.offset,
            read.file.node.label,
            read.file.pid,
            _time(taken),
            more,
        )


def _time(ns: int) -> str:
    """`12.3 ms`, `2.1 s`."""
    return f"{ns / 1e6:.1f} ms" if ns < 10**9 else f"{ns / 1e9:.1f} s"
