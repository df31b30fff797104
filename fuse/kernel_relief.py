"""READs that a thread has in hand for too long: the event loop answers them in its place.

A thread may load what it was asked for, and hang where a disk does. Nobody can call it back; so
the request is answered twice if it comes back after all, and the kernel drops the second answer.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

HANGS: Final = 1.0
"""Seconds between two looks at what threads have in hand; what is seen twice is overdue."""


class Holder(Protocol):
    """A thread that takes requests."""

    @property
    def held(self) -> bytes | None:
        """The request that it answers at this moment."""
        ...


class Relief:
    """Looks at what `lines` have in hand. Used in the event loop."""

    def __init__(self, lines: Sequence[Holder]) -> None:
        self._lines = lines
        self._seen: list[bytes | None] = [None] * len(lines)
        self._told = list(self._seen)

    def overdue(self) -> Iterator[tuple[int, bytes]]:
        """Requests that were there the last time too, each once, and whose line has each."""
        for number, line in enumerate(self._lines):
            held = line.held
            # The same object: no two requests are one.
            if held is not None and held is self._seen[number] and held is not self._told[number]:
                self._told[number] = held
                yield number, held
            self._seen[number] = held
