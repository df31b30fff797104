"""How long a backend's reads take, and how many bytes come: what its reads are scheduled by.

Reads are kept apart by size, since one of 4 MiB may take forty times as long as one of 4 KiB.

Concurrency: used in the event loop, but for `came_elsewhere`. Noting a read costs a microsecond or
two; sorting is done once for several reads.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CLASSES: Final = 8
"""Classes of sizes: up to 128 KiB, 256 KiB, … 8 MiB, and longer."""
KEPT: Final = 64
"""Reads remembered of each class."""
SETTLE: Final = 8
"""Reads after which the quantiles of a class are found anew, once there are that many."""
WEIGHT: Final = 0.25
"""Weight of the latest read in what a class takes lately."""
BUSY: Final = 0.1
"""Seconds of reading after which a rate is noted,"""
MUCH: Final = 8 << 20
"""or bytes."""
RATES: Final = 16
"""Rates remembered."""


def size_class(size: int) -> int:
    """The class of a read of `size` bytes."""
    return min(((size - 1) >> 17).bit_length(), CLASSES - 1) if size > 0 else 0


@dataclass(frozen=True, slots=True)
class LatencyView:
    """What is known of one backend's reads; times in seconds, 0.0 while nothing is known.

    `rate` is the most bytes a second that came lately while it was read from. `given_up` counts
    reads that were cancelled after longer than usual.
    """

    reads: int
    bytes: int
    given_up: int
    in_flight: int
    least: float
    p50: float
    p95: float
    p99: float
    rate: float
    demoted: bool


class _Times:
    """The latest reads of one class: seconds, their quantiles, and the moving average."""

    __slots__ = ("_kept", "_unsettled", "p50", "p95", "recent")

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=KEPT)
        self._unsettled = 0
        self.p50 = self.p95 = self.recent = 0.0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def kept(self) -> list[float]:
        """The times, the oldest first."""
        return list(self._kept)

    def note(self, seconds: float) -> None:
        """One more read."""
        self.recent += (seconds - self.recent) * (WEIGHT if self._kept else 1.0)
        self._kept.append(seconds)
        self._unsettled += 1
        if self._unsettled >= SETTLE or len(self._kept) <= SETTLE:
            self._unsettled = 0
            ordered = sorted(self._kept)
            self.p50 = ordered[len(ordered) // 2]
            self.p95 = ordered[len(ordered) * 19 // 20]


class _Rate:
    """Bytes a second while anything is under way."""

    __slots__ = ("_busy", "_bytes", "_noted", "_since")

    def __init__(self) -> None:
        self._noted: deque[float] = deque(maxlen=RATES)
        self._bytes = 0
        self._busy = self._since = 0.0

    @property
    def best(self) -> float:
        """The highest of the latest."""
        return max(self._noted, default=0.0)

    def begin(self, now: float) -> None:
        """Nothing was under way; now something is."""
        self._since = now

    def came(self, now: float, size: int) -> None:
        """`size` bytes have come."""
        self._busy += now - self._since
        self._since = now
        self._bytes += size
        if self._busy > 0 and (self._busy >= BUSY or self._bytes >= MUCH):
            self._noted.append(self._bytes / self._busy)
            self._bytes, self._busy = 0, 0.0


class Latency:
    """The reads of one backend. Sizes in bytes; times in seconds, on the event loop's clock."""

    __slots__ = (
        "_classes",
        "_elsewhere",
        "_rate",
        "_under_way",
        "bytes",
        "demoted",
        "given_up",
        "reads",
    )

    def __init__(self) -> None:
        self._classes = [_Times() for _ in range(CLASSES)]
        self._rate = _Rate()
        self._elsewhere: deque[tuple[int, float]] = deque(maxlen=KEPT)
        # When each began, the oldest first, and its class.
        self._under_way: list[tuple[float, int]] = []
        self.reads = self.bytes = self.given_up = 0
        self.demoted = False
        """Whether it is asked last, as slower than its peers; `Peers` decides that."""

    @property
    def in_flight(self) -> int:
        """Reads under way."""
        return len(self._under_way)

    def begin(self, now: float, size: int) -> None:
        """A read of `size` bytes begins."""
        if not self._under_way:
            self._rate.begin(now)
        self._under_way.append((now, size_class(size)))

    def end(self, began: float, size: int, now: float, came: int) -> None:
        """One that so began ends, with so many bytes; 0 when it failed or was given up."""
        self._under_way.remove((began, size_class(size)))
        self._rate.came(now, came)

    def note(self, size: int, seconds: float) -> None:
        """A read of that size was answered after so long."""
        self.reads += 1
        self.bytes += size
        self._settle()
        self._classes[size_class(size)].note(seconds)

    def came_elsewhere(self, size: int, seconds: float) -> None:
        """The same of a read that was no business of the event loop; any thread may call it."""
        self.reads += 1
        self.bytes += size
        self._elsewhere.append((size, seconds))

    def _settle(self) -> None:
        while self._elsewhere:
            size, seconds = self._elsewhere.popleft()
            self._classes[size_class(size)].note(seconds)

    def forget(self) -> None:
        """What was is no measure any more."""
        self._classes = [_Times() for _ in range(CLASSES)]

    def usual(self, size: int) -> float | None:
        """What 95 of 100 reads of that size stay below; None while nothing is known."""
        return self._nearest(size, lambda times: times.p95)

    def typical(self, size: int) -> float | None:
        """What half of the reads of that size stay below; None while nothing is known."""
        return self._nearest(size, lambda times: times.p50)

    def recent(self, size: int) -> float | None:
        """What reads of that size take lately, a moving average; None while nothing is known."""
        return self._nearest(size, lambda times: times.recent)

    def lately(self, size: int, now: float) -> float | None:
        """The same, or for how long such a read, or a shorter one, waits already, where that is
        longer."""
        wanted = size_class(size)
        waits = next((now - began for began, its in self._under_way if its <= wanted), None)
        return max((told for told in (self.recent(size), waits) if told is not None), default=None)

    def _nearest(self, size: int, tell: Callable[["_Times"], float]) -> float | None:
        """Of the class, else of a smaller one, times what it is smaller, else of a larger one."""
        wanted = size_class(size)
        for smaller in range(wanted, -1, -1):
            if len(self._classes[smaller]):
                return tell(self._classes[smaller]) * float(1 << (wanted - smaller))
        larger = self._classes[wanted + 1 :]
        return next((tell(times) for times in larger if len(times)), None)

    @property
    def rate(self) -> float:
        """The most bytes a second that came lately; 0.0 while nothing is known."""
        return self._rate.best

    def view(self) -> LatencyView:
        """A picture of it, for people."""
        self._settle()
        ordered = sorted(seconds for times in self._classes for seconds in times.kept) or [0.0]

        def below(share: float) -> float:
            return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

        return LatencyView(
            self.reads,
            self.bytes,
            self.given_up,
            self.in_flight,
            ordered[0],
            below(0.5),
            below(0.95),
            below(0.99),
            self.rate,
            self.demoted,
        )
