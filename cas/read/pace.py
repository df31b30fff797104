"""How fast loads come: the most bytes a second, and the least time that a load takes.

Their product is what must be on its way so that nobody waits (bandwidth × delay). Both are
measured as BBR does (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5),
2016): the rate is what came between a load's start and its end, whoever it was for, over that time;
its greatest counts. The time is the least, and has to be looked for with little on its way once
it is old, for a queue of our own making would show as delay.

Pure; times are seconds of any one clock. Used in the event loop.
"""

from dataclasses import dataclass
from typing import Final

KEPT: Final = 10.0
"""Seconds for which what was measured counts; BBR's own figure."""


@dataclass(frozen=True, slots=True)
class Start:
    """A load's start: the moment, and the bytes that had come by then."""

    at: float
    came: int


class Pace:
    """What is known of the loads of one stream, or of many."""

    def __init__(self, long: int) -> None:
        """A load of fewer than `long` bytes tells the rate, not the time that others take."""
        self._long = long
        self._came = 0
        self._rate = 0.0
        self._earlier_rate = 0.0
        self._rate_since = 0.0
        self._delay: float | None = None
        self._delay_at = 0.0
        self._looking_since: float | None = None

    @property
    def rate(self) -> float:
        """Bytes a second, the most of late; 0 where nothing came yet."""
        return max(self._rate, self._earlier_rate)

    @property
    def delay(self) -> float:
        """Seconds that a load takes at least; 0 where none has ended."""
        return self._delay or 0.0

    @property
    def product(self) -> int:
        """Bytes that are on their way when nothing waits and nothing queues."""
        return int(self.rate * self.delay)

    def start(self, now: float) -> Start:
        """A load begins."""
        return Start(now, self._came)

    def end(self, start: Start, size: int, now: float) -> None:
        """A load of `size` bytes ended well."""
        self._came += size
        took = now - start.at
        if took <= 0:
            return
        self._note_rate((self._came - start.came) / took, now)
        if size >= self._long:
            self._note_delay(took, start, now)

    def looking(self, now: float) -> bool:
        """Whether little should be on its way, for the least time is old and is measured anew."""
        old = self._delay is not None and now - self._delay_at > KEPT
        if old and self._looking_since is None:
            self._looking_since = now
        return self._looking_since is not None

    def _note_rate(self, rate: float, now: float) -> None:
        if now - self._rate_since > KEPT / 2:
            self._earlier_rate, self._rate = self._rate, 0.0
            self._rate_since = now
        self._rate = max(self._rate, rate)

    def _note_delay(self, took: float, start: Start, now: float) -> None:
        found = self._looking_since is not None and start.at >= self._looking_since
        if found or self._delay is None or took <= self._delay:
            self._delay, self._delay_at = took, now
            self._looking_since = None
