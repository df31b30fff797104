"""Streams: runs of reads through a file, recognised by where they read.

Per file and offset, not per handle: threads that share a descriptor are several streams, and one
that reads through several handles is one. Pure; used in the event loop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

STREAMS: Final = 8
"""Streams remembered per open file."""
TOLERANCE: Final = 4 << 20
"""A read this many bytes before or after where a stream stood still belongs to it."""


@dataclass(slots=True, eq=False)
class Stream:
    """A run of reads: where it stands, how far ahead is loaded, how long the window is (bytes).

    Up to `due` there is nothing to load, however far it reads.
    """

    position: int
    ahead: int
    window: int
    due: int = 0

    def takes(self, offset: int) -> bool:
        """Whether a read at that offset belongs to it."""
        return -TOLERANCE <= offset - self.position <= TOLERANCE


class Streams:
    """The streams of one file, that which read last first."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams)

    @property
    def latest(self) -> Stream | None:
        """The one that read last. Any thread may ask."""
        first = self._streams[:1]
        return first[0] if first else None

    def find(self, offset: int) -> Stream | None:
        """The stream to which a read at that offset belongs; it is the latest now."""
        for place, stream in enumerate(self._streams):
            if stream.takes(offset):
                if place:
                    self._streams.insert(0, self._streams.pop(place))
                return stream
        return None

    def add(self, stream: Stream) -> Stream | None:
        """Remember a new one; which was forgotten for it, if any."""
        self._streams.insert(0, stream)
        return self._streams.pop() if len(self._streams) > STREAMS else None

    def clear(self) -> None:
        """Forget all."""
        self._streams.clear()
