"""Memory for whole shards, used again for the next pack: touching fresh memory is dear.

How much of it is out is its taker's to bound (`packreads.PackRoom`); as much may be kept.
"""

from typing import Final

from ..buffers import BufferPool

STEP: Final = 1 << 20
"""Slots have room for a power of two of payload and so many bytes of footer; shards no longer
than this have memory of their own."""
KEPT: Final = 32


class ShardBuffers:
    """Slots of one size: that of the shards asked for last. Packs of one store are mostly alike.

    `take` may be called from any thread.
    """

    def __init__(self) -> None:
        self._pool = BufferPool(STEP, 0)

    def take(self, size: int) -> memoryview:
        """Memory for `size` bytes; its content is arbitrary."""
        if size <= STEP:
            return memoryview(bytearray(size))
        pool = self._pool
        if not pool.size // 2 < size <= pool.size:
            # What the former pool has lent out dies with it.
            pool = self._pool = BufferPool(_slot(size), KEPT)
        return pool.take()[:size]


def _slot(size: int) -> int:
    return (1 << (size - STEP - 1).bit_length()) + STEP if size > 2 * STEP else 2 * STEP
