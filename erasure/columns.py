"""Buffers of callers as flat byte arrays, without copies, and the checks that make them safe.

The engines hand addresses to C code, so everything that would let it touch foreign memory, or
overwrite what it still has to read, is refused here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | bytearray | memoryview | NDArray[np.uint8]
Column = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What one call reads and what it fills: views of `size` bytes over the callers' memory.

    `addresses` says where each begins, sources first; it holds while this object is referenced.
    """

    sources: Sequence[Column]
    targets: Sequence[Column]
    addresses: NDArray[np.uintp]
    size: int


def as_columns(sources: Sequence[Buffer], targets: Sequence[Buffer]) -> Columns:
    """View `sources`, at least one, and `targets` as columns.

    They must be contiguous and of one length; targets must be writable and share no byte with any
    other buffer. Sources may be the same buffer several times. Anything else is a ValueError.
    """
    views = [_as_column(buffer) for buffer in (*sources, *targets)]
    size = views[0].size
    if any(view.size != size for view in views):
        sizes = ", ".join(str(view.size) for view in views)
        raise ValueError(f"shard buffers differ in length: {sizes} bytes")
    count = len(sources)
    if not all(view.flags.writeable for view in views[count:]):
        raise ValueError("a shard buffer to be filled is read-only")
    addresses = [view.ctypes.data for view in views]
    if size:
        _refuse_overlap(addresses, count, size)
    return Columns(views[:count], views[count:], np.array(addresses, np.uintp), size)


def _as_column(buffer: Buffer) -> Column:
    try:
        return np.frombuffer(buffer, np.uint8)
    except (BufferError, ValueError) as error:
        raise ValueError(f"a shard buffer cannot be used: {error}") from error


def _refuse_overlap(addresses: Sequence[int], source_count: int, size: int) -> None:
    """Buffers of one length overlap only if neighbours in memory do."""
    spans = sorted((address, i >= source_count) for i, address in enumerate(addresses))
    for (address, is_target), (following, next_is_target) in pairwise(spans):
        if following - address < size and (is_target or next_is_target):
            raise ValueError("a shard buffer to be filled overlaps another buffer")
