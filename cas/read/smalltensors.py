"""Small tensors that are read one after the other, and not what lies between: loaded ahead.

Loaders copy norms and biases first, or keep only those on the CPU. From far away each would cost a
round trip, a hundred in a large model; together they are a few hundred kilobytes.

Concurrency: used in the event loop.
"""

from typing import Final

from .flights import Flights
from .pace import Pace
from .recipe import Recipe
from .supply import Supply
from .tensormap import TensorMap

TOUCHES: Final = 3
"""Small tensors that were read in file order before more are loaded."""
AHEAD: Final = 64
"""Small tensors that are loaded at a time."""


class SmallTensors:
    """Those of one file, and how far they were read."""

    def __init__(self, flights: Flights, recipe: Recipe, supply: Supply, pace: Pace) -> None:
        self._flights = flights
        self._recipe = recipe
        self._supply = supply
        self._pace = pace
        self._latest = 0
        self._touches = 0
        self._loaded = 0

    def read(self, offset: int, size: int, tensors: TensorMap) -> None:
        """A read came from nowhere."""
        end = tensors.small_at(offset, size)
        if end is None or end == self._latest:
            return
        self._touches = self._touches + 1 if end > self._latest else 1
        self._latest = end
        if self._touches >= TOUCHES and end >= self._loaded:
            self._load(end, tensors)

    def _load(self, start: int, tensors: TensorMap) -> None:
        for extent in tensors.small_after(start, AHEAD):
            spans = self._recipe.spans(extent.start, extent.end - extent.start)
            if not self._flights.start_ahead(spans, self._supply, self._pace):
                return
            self._loaded = extent.end
