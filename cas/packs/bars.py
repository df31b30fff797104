"""Which backends are not to be read in the calling thread for a while, as they are slow there.

A read that waits in a thread cannot be hedged, so one that takes SLOW seconds is enough; of shorter
ones several are, if they are slow by what the peers' reads take: by the rules of `Peers`, which
hears of no such read.

Concurrency: any thread may call anything.
"""

import logging
import time
from collections import deque
from collections.abc import Callable
from statistics import median_low
from threading import Lock
from typing import Final

from ...ids import BackendId
from .latency import Latency
from .peers import JUDGED, KNOWN, SHORTEST, SLOWER
from .peers import SLOW as OFTEN

SLOW: Final = 0.1
"""Seconds; a read that took longer was none of memory, nor of a disk that has little to do."""
BARRED: Final = 10.0
"""Seconds for which a slow backend is not read so, doubled each time that it is slow again."""
LONGEST: Final = 3600.0

log = logging.getLogger(__name__)


class _Times:
    """The reads of one backend. Seconds; no `pause` while it is well."""

    __slots__ = ("latency", "pause", "until", "verdicts")

    def __init__(self) -> None:
        self.latency = Latency()
        self.verdicts: deque[bool] = deque(maxlen=JUDGED)
        self.until = self.pause = 0.0


class Bars:
    """Who is barred. `name_of` names a backend for the log."""

    def __init__(self, name_of: Callable[[BackendId], str]) -> None:
        self._name_of = name_of
        self._times: dict[BackendId, _Times] = {}
        self._lock = Lock()

    def barred(self, backend: BackendId) -> bool:
        """Whether to leave it alone."""
        times = self._times.get(backend)
        return times is not None and times.until > 0.0 and time.monotonic() < times.until

    def bar(self, backend: BackendId) -> None:
        """A thread waits for it in vain, or has waited long for an error."""
        with self._lock:
            self._bar(backend, self._of(backend))

    def note(self, backend: BackendId, size: int, seconds: float) -> None:
        """A read of `size` bytes was answered after so long."""
        with self._lock:
            times = self._of(backend)
            slow = seconds > SHORTEST and seconds > self._bound(size)
            times.latency.note(size, seconds)
            times.verdicts.append(slow)
            # One that was barred is on probation.
            if seconds > SLOW or (slow and (times.pause or sum(times.verdicts) >= OFTEN)):
                self._bar(backend, times)
            elif not slow and times.pause:
                times.until = times.pause = 0.0

    def _of(self, backend: BackendId) -> _Times:
        times = self._times.get(backend)
        if times is None:
            times = self._times[backend] = _Times()
        return times

    def _bound(self, size: int) -> float:
        """Seconds after which a read is slow: where all have become slower at once none is."""
        return SHORTEST + SLOWER * max(
            self._middle(lambda latency: latency.typical(size)),
            self._middle(lambda latency: latency.recent(size)),
        )

    def _middle(self, tell: Callable[[Latency], float | None]) -> float:
        known = [told for each in self._times.values() if (told := tell(each.latency)) is not None]
        # Of two the lower one, so that one of two that is slow is measured by the other.
        return median_low(known) if len(known) >= KNOWN else SLOW

    def _bar(self, backend: BackendId, times: _Times) -> None:
        now = time.monotonic()
        if now < times.until:
            return  # it began before the others found the backend slow
        times.pause = min(2 * times.pause or BARRED, LONGEST)
        times.until = now + times.pause
        times.verdicts.clear()
        log.info(
            "backend %s is slow: for %.0f s threads do not read it",
            self._name_of(backend),
            times.pause,
        )
