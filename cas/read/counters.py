"""What the reading of a store has done since it was opened: plain numbers on one object.

Concurrency: any thread adds to them, and nobody locks. `a.b += n` is one step for CPython's lock
(it changes hands at calls and jumps only); elsewhere a count may be lost: figures, no ledger.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from time import perf_counter_ns
from typing import Final

from ...ids import BackendId, ChunkId
from ..histogram import Histogram
from ..packs.members import Member

clock: Final[Callable[[], int]] = perf_counter_ns
"""Nanoseconds from some moment on."""


@dataclass(slots=True)
class ReadCounts:
    """Figures of one open store. Sizes are bytes; of files where nothing else is said.

    Files are `opened`, some to be read by the kernel alone (`passed_through`), of which nothing
    else here tells. A READ is a request to a mount; those `at_once` were answered from memory by
    the thread that took them. `latency` goes from when we had it to when its bytes were there. A
    chunk that is asked for is a hit where it was in memory. A load brings one chunk or several. Of
    what was loaded `ahead` of its reader, part was used by now, part left memory unused (wasted) or
    could not be had, the rest waits. `fetched` is what backends delivered, parity too. The disk
    cache answers in chunks as well: hits, and what it delivered.
    """

    opened: int = 0
    passed_through: int = 0
    requests: int = 0
    at_once: int = 0
    failed: int = 0
    served: int = 0
    slow: int = 0
    chunk_hits: int = 0
    chunk_misses: int = 0
    loads: int = 0
    loads_failed: int = 0
    fetches: int = 0
    fetched: int = 0
    ahead: int = 0
    ahead_used: int = 0
    ahead_wasted: int = 0
    disk_hits: int = 0
    disk_read: int = 0


@dataclass(slots=True)
class Fetches:
    """What one backend delivered: bytes, and how long each range took."""

    fetched: int = 0
    latency: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class ReadCounters(ReadCounts):
    """The figures while they are added to."""

    latency: Histogram = field(default_factory=Histogram)
    backends: dict[BackendId, Fetches] = field(default_factory=dict)

    def counts(self) -> ReadCounts:
        """The figures as they are now."""
        return ReadCounts(**{each.name: getattr(self, each.name) for each in fields(ReadCounts)})

    def note_request(self, size: int, ns: int) -> None:
        """A READ was answered with `size` bytes, after `ns` nanoseconds."""
        self.requests += 1
        self.served += size
        self.latency.note(ns)

    def note_fetched(self, member: Member, size: int, seconds: float) -> None:
        """A backend delivered a range of a shard."""
        self.fetches += 1
        self.fetched += size
        backend = self.backends.setdefault(member.id, Fetches())
        backend.fetched += size
        backend.latency.note(int(seconds * 1e9))


class Ahead:
    """Chunks that are loaded ahead and that nobody has asked for yet."""

    def __init__(self, counters: ReadCounters) -> None:
        self._counters = counters
        self._waiting: dict[ChunkId, int] = {}

    def __contains__(self, id_: ChunkId) -> bool:
        return id_ in self._waiting

    def begin(self, id_: ChunkId, size: int) -> None:
        """A load of that chunk begins, without anybody waiting for it."""
        self._waiting[id_] = size
        self._counters.ahead += size

    def use(self, id_: ChunkId) -> None:
        """Somebody asks for the chunk; most often it is none of these."""
        size = self._waiting.pop(id_, None)
        if size is not None:
            self._counters.ahead_used += size

    def drop(self, id_: ChunkId) -> None:
        """The chunk leaves memory, or could not be loaded."""
        size = self._waiting.pop(id_, None)
        if size is not None:
            self._counters.ahead_wasted += size
