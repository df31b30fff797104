"""Content-defined cuts for bytes of unknown structure: FastCDC as `pyfastcdc` implements it.

Algorithm: W. Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based
Storage Systems", IEEE TPDS 31(9), 2020. What is pinned here and by golden cuts, because another
choice would cut known files anew: the sizes below, the gear table of the reference implementation
(seed 0), and normalised chunking of level 2, which on random bytes leaves 0.9 % of the cuts to the
maximum (level 1: 10.8 %) and gives 575 KiB on average. The compiled variant scans at 4.4 GB/s
without the GIL, and the pure one that stands in for it finds the same cuts.
"""

from functools import cache
from typing import Final

import pyfastcdc

from .regions import MAX_CHUNK

MIN_SIZE: Final = 128 << 10
AVERAGE_SIZE: Final = 512 << 10


class FastCdc:
    """Finds cuts in windows of one file. Not to be used from two threads at once."""

    def __init__(self) -> None:
        self._cdc = pyfastcdc.FastCDC(
            AVERAGE_SIZE,
            min_size=MIN_SIZE,
            max_size=MAX_CHUNK,
            normalized_chunking=2,
            seed=0,
        )

    def cut(self, window: memoryview, final: bool) -> list[int]:
        """Sizes of the chunks that `window` begins with, in bytes; nothing is copied.

        A cut depends on the `MAX_CHUNK` bytes from its chunk's start on and on nothing else. So
        less than that at the end of the window is left over, unless the file ends there (`final`).
        """
        sizes: list[int] = []
        chunks = self._cdc.cut_buf(window)
        left = len(window)
        while left >= MAX_CHUNK or (final and left):
            size = next(chunks).length
            sizes.append(size)
            left -= size
        return sizes


@cache
def _zero_step() -> int:
    return FastCdc().cut(memoryview(bytes(MAX_CHUNK)), False)[0]


def zero_cuts(size: int, final: bool) -> list[int]:
    """What `FastCdc.cut` gives for `size` zeros: every chunk of them is cut like the first."""
    step = _zero_step()
    whole = max(0, (size - MAX_CHUNK) // step + 1)
    sizes = [step] * whole
    left = size - whole * step
    return sizes + FastCdc().cut(memoryview(bytes(left)), True) if final and left else sizes
