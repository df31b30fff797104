"""The memory that decoding takes: ranges of shards, gathered until k of them are there.

So many are gathered at once, in steps that a small budget makes small too, and each is charged to
the budget while it goes on, whoever reads.

Concurrency: turns are taken in the event loop; memory may be taken by any thread.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Final, Protocol

import trio

from ..buffers import SizedBuffers

SCRATCH: Final = 4 << 20
"""Longest range, bytes, that `load` is asked for at once."""
GATHERED: Final = 16 << 20
"""Bytes of k shards that are gathered for one decoding, at most,"""
LEAST: Final = 2 << 20
"""and at least;"""
SHARE: Final = 16
"""one part in so many of the budget,"""
DECODINGS: Final = 6
"""and such gatherings at once."""


class Budget(Protocol):
    """What memory is charged to; any thread may do so."""

    limit: int

    def charge(self, size: int) -> None:
        """Charge `size` bytes, whatever is left."""
        ...

    def give(self, size: int) -> None:
        """What was charged is free again."""
        ...


class Boundless:
    """For who reads no more than a little, and keeps nothing."""

    limit = GATHERED * SHARE

    def charge(self, size: int) -> None:
        """See `Budget`."""

    def give(self, size: int) -> None:
        """See `Budget`."""


class Decodings:
    """Turns at decoding, and the memory for it, charged to `budget`."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._gathered = max(LEAST, min(GATHERED, budget.limit // SHARE))
        self._turns = trio.CapacityLimiter(DECODINGS)
        # What one gathering takes is kept for the next, in slots of either size.
        self._buffers = SizedBuffers(SCRATCH, SCRATCH // 4, count=self._gathered >> 20)

    def step(self, k: int) -> int:
        """Bytes of each of k shards that are decoded at once."""
        return min(SCRATCH, self._gathered // k)

    @contextlib.asynccontextmanager
    async def turn(self, size: int) -> AsyncIterator[None]:
        """A turn at decoding, for which `size` bytes are charged."""
        async with self._turns:
            self.budget.charge(size)
            try:
                yield
            finally:
                self.budget.give(size)

    def take(self, size: int) -> memoryview:
        """Memory for `size` bytes; its content is arbitrary."""
        return self._buffers.take(size)
