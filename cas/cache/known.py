"""What one process knows of a cached file: which chunks are there, and what its map does not say.

Concurrency: any thread may call anything; what is told of chunks changes under a lock, and nothing
is read or written while it is held.
"""

import threading
from collections.abc import Iterable

import numpy as np

from ..formats.cachemap import Seal


class Known:
    """`present` has one byte a chunk, 1 where it is there; `seal` is the file's, if it has one.

    Of all chunks so many are `missing`. `turn` counts up with what makes outdated a map that is
    being loaded, or a file that is being read back.
    """

    def __init__(self, present: bytearray, seal: Seal | None) -> None:
        self.seal = seal
        self.turn = 0
        self.missing = present.count(0)
        self._present = present
        self._lock = threading.Lock()
        # Put, but not durable yet; damaged, which the map does not say yet; and of which it is
        # being told.
        self._fresh: set[int] = set()
        self._dropped: set[int] = set()
        self._telling: set[int] = set()

    @property
    def changed(self) -> bool:
        """Whether the map does not say yet what is known here."""
        return bool(self._fresh or self._dropped)

    def has(self, first: int, count: int = 1) -> bool:
        """Whether all of so many chunks, from number `first` on, are there."""
        return self._present.find(0, first, first + count) < 0

    def put(self, number: int) -> None:
        """A chunk is there, but not durable yet."""
        with self._lock:
            self._fresh.add(number)
            self._mark([number])

    def drop(self, numbers: Iterable[int]) -> None:
        """Chunks are damaged; so there is no seal either."""
        with self._lock:
            self.seal = None
            self.turn += 1
            for number in numbers:
                self.missing += self._present[number]
                self._present[number] = 0
                self._fresh.discard(number)
                self._dropped.add(number)

    def tell(self) -> tuple[set[int], set[int]]:
        """Which chunks the map is to be told are there, once they are durable, and which are not;
        until `told`. One thread at a time."""
        with self._lock:
            fresh, self._fresh = self._fresh, set()
            self._telling, self._dropped = self._dropped, set()
            return fresh, self._telling

    def told(self) -> None:
        """The map says it now; or what it was to be told was dropped."""
        with self._lock:
            self.turn += bool(self._telling)
            self._telling = set()

    def learn(self, there: bytearray, seal: Seal | None, turn: int) -> None:
        """Take over what a map says that was loaded at `turn`.

        What was loaded while a chunk was dropped here may still tell of that chunk, and of a seal:
        then it is left for next time.
        """
        with self._lock:
            if self.turn != turn:
                return
            damaged = self._dropped | self._telling
            new = np.frombuffer(there, np.uint8) > np.frombuffer(self._present, np.uint8)
            self._mark(n for n in np.flatnonzero(new).tolist() if n not in damaged)
            if not damaged:
                self.seal = seal

    def sealed(self, seal: Seal, turn: int) -> None:
        """The file was read back, and every chunk is sound; unless one was dropped since `turn`."""
        with self._lock:
            if self.turn == turn:
                self.seal = seal
                self.turn += 1

    def _mark(self, numbers: Iterable[int]) -> None:
        """With the lock held: these chunks are there."""
        for number in numbers:
            self.missing -= not self._present[number]
            self._present[number] = 1
