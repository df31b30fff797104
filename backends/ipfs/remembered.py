"""Values whose roots were read: which blocks they have never changes.

What a node says of a value may be as long as its root, far longer than any of ours, and nodes
are not trusted; so only values as we store them are remembered.
"""

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from .blocks import INLINE, Value

K = TypeVar("K")

VALUES: Final = 1024
"""Values that are remembered, the latest ones."""
BLOCKS: Final = 1024
"""Blocks of the largest one: a GiB, far more than a shard has."""


class Remembered(Generic[K]):
    """Values by their key, or by their root."""

    def __init__(self) -> None:
        self._values: OrderedDict[K, Value] = OrderedDict()

    def find(self, which: K) -> Value | None:
        """One that is remembered."""
        found = self._values.get(which)
        if found is not None:
            self._values.move_to_end(which)
        return found

    def add(self, which: K, value: Value) -> None:
        """Remember one, in place of another of that key."""
        self._values.pop(which, None)
        if len(value.data) > INLINE or len(value.blocks) > BLOCKS:
            return
        self._values[which] = value
        if len(self._values) > VALUES:
            self._values.popitem(last=False)

    def drop(self, which: K) -> None:
        """Forget one; none is fine."""
        self._values.pop(which, None)
