"""Runs of zeros, which holes of sparse files are full of: one memory for all, and known ids.

The memory is mapped and never written, so the kernel backs all of it by its one page of zeros.
"""

import mmap
from functools import lru_cache
from typing import Final

from ..ids import ChunkId
from .formats.chunkids import PLAIN, ChunkIds
from .formats.chunktable import MAX_CHUNK

RUN: Final = 64 << 20
"""Bytes of a hole that are taken at a time."""
LONGEST: Final = RUN + MAX_CHUNK


@lru_cache(1)
def _memory() -> memoryview:
    return memoryview(mmap.mmap(-1, LONGEST, prot=mmap.PROT_READ)).cast("B")


def zeros(size: int) -> memoryview:
    """`size` zeros, LONGEST at most; read-only and shared by everybody."""
    return _memory()[:size]


@lru_cache(64)
def zero_id(size: int, ids: ChunkIds = PLAIN) -> ChunkId:
    """The id of a chunk of `size` zeros, as `ids` names them."""
    return ids.of(zeros(size))
