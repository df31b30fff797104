"""Durations counted in buckets of a fixed logarithmic scale: quantiles that cost nothing to keep.

Each power of two of nanoseconds has four buckets, so a quantile is off by an eighth at most; the
scale is that of HdrHistogram with two bits of significance.

Concurrency: any thread may `note`. A count of two threads at the very same moment may be lost where
the interpreter has no lock of its own: these are figures, no ledger.
"""

from collections.abc import Iterable, Iterator
from typing import Final

_BITS: Final = 2
"""Each octave has 2**_BITS buckets."""
_STEPS: Final = 1 << _BITS
_OCTAVES: Final = 40
"""Up to 2**40 ns, 18 minutes; what takes longer counts as that."""
_BUCKETS: Final = _OCTAVES << _BITS
_LAST: Final = _BUCKETS - 1


class Histogram:
    """How many durations fell into each bucket; `total_ns` is their sum, `longest_ns` one of them.

    `pairs` are numbers of buckets and how much is in each, as `pairs` gives them: what lies in a
    bucket beyond the last counts in the last. ValueError for negative ones.
    """

    __slots__ = ("_buckets", "longest_ns", "total_ns")

    def __init__(
        self, pairs: Iterable[tuple[int, int]] = (), total_ns: int = 0, longest_ns: int = 0
    ) -> None:
        self._buckets = [0] * _BUCKETS
        self.total_ns = total_ns
        self.longest_ns = longest_ns
        for bucket, count in pairs:
            if bucket < 0 or count < 0:
                raise ValueError("no bucket has such a number, or holds so few")
            self._buckets[min(bucket, _LAST)] += count

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        mine = (self._buckets, self.total_ns, self.longest_ns)
        return mine == (other._buckets, other.total_ns, other.longest_ns)

    __hash__ = None  # type: ignore[assignment]

    def note(self, ns: int) -> None:
        """Count one duration, nanoseconds."""
        octave = ns.bit_length() - 1 - _BITS
        bucket = ns if octave < 0 else (octave << _BITS) + (ns >> octave)
        self._buckets[min(bucket, _LAST)] += 1
        self.total_ns += ns
        if ns > self.longest_ns:
            self.longest_ns = ns

    def pairs(self) -> list[tuple[int, int]]:
        """The buckets that are not empty, and how much is in each."""
        return [(bucket, count) for bucket, count in enumerate(self._buckets) if count]

    def since(self, earlier: "Histogram") -> "Histogram":
        """What came after `earlier`, which was this one then; the longest stays the longest."""
        gone = dict(earlier.pairs())
        pairs = [(bucket, max(0, count - gone.get(bucket, 0))) for bucket, count in self.pairs()]
        return Histogram(pairs, max(0, self.total_ns - earlier.total_ns), self.longest_ns)

    @property
    def count(self) -> int:
        """Durations counted."""
        return sum(self._buckets)

    def quantile(self, share: float) -> float:
        """Seconds within which `share` (0 to 1) of the durations lie; 0.0 while there are none.

        The middle of the bucket that holds it, and never more than the longest.
        """
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return min((_floor(bucket) + _floor(bucket + 1)) / 2, self.longest_ns) / 1e9
        return 0.0

    def octaves(self) -> Iterator[tuple[int, int]]:
        """Powers of two of nanoseconds, and how many durations were shorter; ascending."""
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if bucket % _STEPS == _STEPS - 1 and _STEPS < bucket < _LAST:
                yield _floor(bucket + 1), seen


def _floor(bucket: int) -> int:
    """The shortest duration of a bucket, nanoseconds."""
    if bucket < _STEPS:
        return bucket
    octave, step = divmod(bucket, _STEPS)
    return (_STEPS + step) << (octave - 1)
