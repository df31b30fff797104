"""Durations counted in buckets of a fixed logarithmic scale: quantiles that cost nothing to keep.

Each power of two of nanoseconds has four buckets, so a quantile is off by an eighth at most; the
scale is that of HdrHistogram with two bits of significance.

Concurrency: any thread may `note`. A count of two threads at the very same moment may be lost where
the interpreter has no lock of its own: these are figures, no ledger.
"""

from collections.abc import Iterator
from typing import Final

_BITS: Final = 2
"""Each octave has 2**_BITS buckets."""
_STEPS: Final = 1 << _BITS
_OCTAVES: Final = 40
"""Up to 2**40 ns, 18 minutes; what takes longer counts as that."""
_BUCKETS: Final = _OCTAVES << _BITS
_LAST: Final = _BUCKETS - 1


class Histogram:
    """How many durations fell into each bucket; `total_ns` is their sum."""

    __slots__ = ("_buckets", "total_ns")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.total_ns = 0

    def note(self, ns: int) -> None:
        """Count one duration, nanoseconds."""
        octave = ns.bit_length() - 1 - _BITS
        bucket = ns if octave < 0 else (octave << _BITS) + (ns >> octave)
        self._buckets[min(bucket, _LAST)] += 1
        self.total_ns += ns

    @property
    def count(self) -> int:
        """Durations counted."""
        return sum(self._buckets)

    def quantile(self, share: float) -> float:
        """Seconds within which `share` (0 to 1) of the durations lie; 0.0 while there are none.

        The middle of the bucket that holds it.
        """
        wanted = share * self.count
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if count and seen >= wanted:
                return (_floor(bucket) + _floor(bucket + 1)) / 2e9
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
