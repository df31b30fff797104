"""Streams: runs of reads through a file, recognised by where they read.

Per file and offset, not per handle: threads that share a descriptor are several streams, and one
that reads through several handles is one. Pure; used in the event loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from .extents import EXTENT
from .pace import Pace

STREAMS: Final = 32
"""Streams remembered per open file."""
TOLERANCE: Final = 4 << 20
"""A read this many bytes before or after where a long stream stood still belongs to it."""
NEAR: Final = 256 << 10
"""So many bytes in any case: the kernel asks ahead, and not always in order."""


def _pace() -> Pace:
    return Pace(EXTENT // 2)


@dataclass(slots=True, eq=False)
class Stream:
    """A run of reads: where it began, where it stands, how far ahead is loaded (offsets, bytes).

    Up to `due` there is nothing to load, however far it reads; up to `passed` it needs nothing any
    more. `window` is how far ahead it would load, `granted` what it was given of that. `begun` and
    `last` number the reads of its file. `tensor_end` is where the region ends that it is in, which
    it `entered` at its beginning, or not; `crossed` counts those that it came through to the next.
    `seen` are offset and size of its last read; it is `trusted` from the second one on. It
    `waited` where not all of a read was in memory.

    Up to `until` the threads that read it load ahead themselves (`ownloads`), and have `reached` so
    far; not before it was read up to `careful`.
    """

    start: int
    position: int
    ahead: int
    window: int
    due: int = 0
    passed: int = 0
    granted: int = 0
    skipped: int = 0
    begun: int = 0
    last: int = 0
    tensor_end: int = 0
    entered: bool = False
    crossed: int = 0
    seen: tuple[int, int] = (0, 0)
    trusted: bool = False
    waited: bool = False
    until: int = 0
    reached: int = 0
    careful: int = 0
    lead: int = 0
    began: int = 0
    pace: Pace = field(default_factory=_pace)

    def __post_init__(self) -> None:
        self.began = max(self.began, self.start)

    @property
    def length(self) -> int:
        """Bytes from where it began itself to where it stands."""
        return self.position - self.began

    @property
    def run(self) -> int:
        """Bytes that it has read, as far as it was seen."""
        return self.position - self.start - self.skipped

    def takes(self, offset: int) -> bool:
        """Whether a read at that offset belongs to it.

        The longer it is the more it may skip; so reads at random are no stream, however many. It
        may go on below its beginning: memmove copies a mapped megabyte from its end, where that
        lies in its page as what is copied to does (glibc, `memmove-vec-unaligned-erms.S`).
        """
        reach = max(NEAR, min(TOLERANCE, self.run))
        if abs(offset - self.position) <= reach:
            return True
        return abs(offset - self.start) <= NEAR and self.position - self.start <= TOLERANCE

    def fork(self, offset: int, end: int) -> "Stream":
        """One that reads on further ahead: what is known of this one holds for it, too."""
        return Stream(
            self.start,
            end,
            max(self.ahead, end),
            self.window,
            passed=offset,
            skipped=self.skipped + offset - self.position,
            crossed=self.crossed,
            pace=self.pace,
            began=offset,
        )

    def take_over(self, late: "Stream") -> None:
        """Be where `late` is, which began where this one has come to."""
        self.position = max(self.position, late.position)
        self.ahead = max(self.ahead, late.ahead)
        self.window = max(self.window, late.window)
        self.crossed = max(self.crossed, late.crossed)
        self.lead = max(self.lead, late.lead)

    def move(self, offset: int, end: int) -> None:
        """It reads the bytes [offset, end)."""
        if offset > self.position:
            self.skipped += offset - self.position
        self.start = min(self.start, offset)
        self.position = max(self.position, end)


class Streams:
    """The streams of one file, that which read last first."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []
        self._reads = 0

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    @property
    def latest(self) -> Stream | None:
        """The one that read last. Any thread may ask."""
        first = self._streams[:1]
        return first[0] if first else None

    def find(self, offset: int) -> Stream | None:
        """The stream to which a read at that offset belongs: the one that stands nearest."""
        self._reads += 1
        takers = [stream for stream in self._streams if stream.takes(offset)]
        if not takers:
            return None
        stream = min(takers, key=lambda taker: abs(offset - taker.position))
        stream.last = self._reads
        if stream is not self._streams[0]:
            self._streams.remove(stream)
            self._streams.insert(0, stream)
        return stream

    def join(self, stream: Stream) -> tuple[Stream, Stream | None]:
        """Make `stream` one with what it has come to, or what has come to it; the one that is left,
        and the one that is no more, if any.

        Whoever copies a tensor out of a mapping touches its last bytes first (glibc's memcpy does),
        and several threads take a part of it each (as PyTorch's do): each is the beginning of
        another stream, until what reads the part before it arrives there.
        """
        for other in self._streams:
            early, late = (other, stream) if other.began < stream.began else (stream, other)
            if other is not stream and _comes_to(early, late):
                early.take_over(late)
                early.last = self._reads
                self._streams.remove(late)
                if late is stream:
                    self._streams.remove(early)
                    self._streams.insert(0, early)
                return early, late
        return stream, None

    def led(self, offset: int) -> Stream | None:
        """The stream that was about to read there: it is loaded ahead of it."""
        return next((s for s in self._streams if s.position < offset < s.ahead), None)

    def add(self, stream: Stream) -> Stream | None:
        """Remember a new one; which was forgotten for it, if any."""
        stream.begun = stream.last = self._reads
        self._streams.insert(0, stream)
        return self._streams.pop() if len(self._streams) > STREAMS else None

    def clear(self) -> None:
        """Forget all."""
        self._streams.clear()


def _comes_to(early: Stream, late: Stream) -> bool:
    """Whether a stream has come to where the other one, which is ahead of it, began."""
    if early.began >= late.began:
        return False
    if late.length <= TOLERANCE:
        return late.began - early.position <= min(TOLERANCE, early.run)
    # What ran past the other one long ago is a reader of its own.
    return late.began <= early.position <= late.position + TOLERANCE
