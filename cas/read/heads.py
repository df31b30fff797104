"""Tensors that are touched one after the other, and not read on: their heads are loaded ahead.

Loaders copy norms and biases first, or keep only those on the CPU; and safetensors touches the
first page of every tensor before the first is copied. From far away each would cost a round trip,
some hundreds in a large model. A fault makes the kernel read on both sides of the page; that is
fetched in any case, and what is loaded here is no more than that.

Concurrency: used in the event loop.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from .flights import Flights
from .pace import Pace
from .recipe import Recipe
from .streams import Stream
from .supply import Supply
from .tensormap import TensorMap
from .windows import Windows

TOUCHES: Final = 3
"""Tensors that were touched in file order before more are loaded."""
AHEAD: Final = 64
"""Heads that are loaded ahead at most,"""
ROOM: Final = 32 << 20
"""and their bytes."""
READ_ON: Final = 4 << 20
"""Who has read so many bytes from where it began does not only touch."""


@dataclass(frozen=True, slots=True)
class _Head:
    """A tensor's number, and how many bytes of its head are loaded."""

    which: int
    size: int


class Heads:
    """Those of one file, and how far they were touched."""

    def __init__(
        self, flights: Flights, windows: Windows, recipe: Recipe, supply: Supply, pace: Pace
    ) -> None:
        self._flights = flights
        self._windows = windows
        self._recipe = recipe
        self._supply = supply
        self._pace = pace
        self._latest = -1
        self._touches = 0
        self._small = True
        self._loaded: deque[_Head] = deque()
        self._end = 0

    def read(self, offset: int, size: int, tensors: TensorMap, before: Stream | None) -> None:
        """A read that came from nowhere, or nearly so; `before` is the stream that read last."""
        which = tensors.touched(offset, size)
        if which is None or which == self._latest:
            return
        if which < self._latest or (before is not None and before.run > READ_ON):
            self._begin()
        self._touches += 1
        self._small = self._small and tensors.is_small(which)
        self._latest = which
        if self._touches >= TOUCHES:
            self._load(size, tensors)

    def _begin(self) -> None:
        self._touches, self._small = 0, True
        self._loaded.clear()

    def _load(self, reach: int, tensors: TensorMap) -> None:
        """Keep as much on its way as there is room for; a touch has `reach` read on both sides."""
        while self._loaded and self._loaded[0].which <= self._latest:
            self._loaded.popleft()
        room = ROOM - sum(head.size for head in self._loaded)
        last = self._loaded[-1].which if self._loaded else self._latest
        if 2 * room < ROOM or 2 * len(self._loaded) > AHEAD:
            return
        for which in tensors.after(last, AHEAD - len(self._loaded), small=self._small):
            head = tensors.head(which, reach)
            start, end = max(head.start, self._end), min(head.end, self._recipe.manifest.size)
            size = max(end - start, 0)
            room -= size
            if room < 0:
                return
            if size:
                spans = self._recipe.spans(start, size)
                if not self._flights.start_ahead(spans, self._supply, self._pace):
                    return
                self._windows.keep(size)
            self._end = max(self._end, end)
            self._loaded.append(_Head(which, size))
