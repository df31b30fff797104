"""Chunks that follow each other, as one run of bytes."""

from collections.abc import Sequence
from typing import Final

from ..buffers import SizedBuffers
from .cache import Loaded

JOINED: Final = 1 << 20
"""The longest request that FUSE makes, and so the most that is joined again and again."""


class Joiner:
    """Joins chunks, in memory that is used again where they must be copied."""

    def __init__(self) -> None:
        self._buffers = SizedBuffers(JOINED, count=8)

    def join(self, chunks: Sequence[Loaded], skip: int, size: int) -> memoryview:
        """`size` bytes of chunks that follow each other, from `skip` bytes into the first on.

        Nothing is copied where the chunks lie end to end in one memory.
        """
        first = chunks[0]
        end = first.start
        for chunk in chunks:
            if chunk.memory is not first.memory or chunk.start != end:
                break
            end += chunk.size
        else:
            start = first.start + skip
            return first.memory[start : start + size]
        return self._copied(chunks, skip, size)

    def _copied(self, chunks: Sequence[Loaded], skip: int, size: int) -> memoryview:
        out = self._buffers.take(size)
        at = 0
        for chunk in chunks:
            part = chunk.data[skip : skip + size - at]
            out[at : at + len(part)] = part
            at += len(part)
            skip = 0
        return out
