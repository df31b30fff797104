"""How much was stored in the last 24 hours, by the hour. Pure.

A window of hours rather than a bucket, for a bucket that holds a day's bytes lets twice that pass
within a day. Hours count from the Unix epoch.
"""

from dataclasses import dataclass
from typing import Final

HOURS: Final = 24
HOUR: Final = 3600
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Day:
    """Bytes stored in each of 24 hours; `hour` is the last one, its bytes are the last ones."""

    hour: int = 0
    stored: tuple[int, ...] = (0,) * HOURS

    @property
    def total(self) -> int:
        """Bytes of all of them."""
        return sum(self.stored)

    def at(self, hour: int) -> "Day":
        """The day that ends with `hour`.

        Where the clock was set back, what it had noted of the future counts as of now: so it is
        forgotten after a day, not when that future has passed.
        """
        if hour >= self.hour:
            gone = min(hour - self.hour, HOURS)
            return Day(hour, self.stored[gone:] + (0,) * gone)
        ahead = min(self.hour - hour, HOURS)
        past, future = self.stored[: HOURS - ahead], self.stored[HOURS - ahead :]
        return Day(hour, (0,) * ahead + past).plus(sum(future))

    def plus(self, size: int) -> "Day":
        """The same with `size` bytes more in its last hour."""
        return Day(self.hour, (*self.stored[:-1], self.stored[-1] + size))

    def room(self, size: int, daily: int) -> bool:
        """Whether `size` bytes more are within `daily`; the first of a day always are."""
        return not self.total or self.total + size <= daily

    def room_at(self, size: int, daily: int) -> int:
        """The first hour from which they will be."""
        hour = self.hour
        while not self.at(hour).room(size, daily):
            hour += 1
        return hour
