"""Sums over the chunks of a pack, by codec and element type: figures need no walk over chunks.

A pack's rows are made when the pack is applied and go when it is deleted. An index that was brought
up to date from an earlier format has none for the packs it had; `cas.uncounted` finds those.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..formats.chunktable import PackedChunk

if TYPE_CHECKING:
    import numpy as np

_ROW: Final = struct.Struct("<BBHIQQ")


@dataclass(frozen=True, slots=True)
class Sum:
    """Chunks of one codec and element type, both as numbers of the format: how many, their raw
    bytes and what these take in packs."""

    codec: int
    element: int
    chunks: int
    raw: int
    stored: int


Sums = tuple[Sum, ...]
"""Of one pack, or of many: by codec, then element type, each pair once."""


def sums_of(chunks: Iterable[PackedChunk]) -> Sums:
    """The sums over some chunks."""
    return total(Sum(c.codec, c.element, 1, c.raw, c.stored) for c in chunks)


def sums_of_table(table: "np.ndarray[Any, Any]") -> Sums:
    """The same from a chunk table as `check_table` gives it."""
    import numpy as np

    pairs = table["codec"].astype(np.uint16) << 8 | table["element"]
    kinds, which = np.unique(pairs, return_inverse=True)
    counts = np.bincount(which)
    sizes = [np.bincount(which, table[name].astype(np.float64)) for name in ("raw", "stored")]
    return tuple(
        Sum(int(kind) >> 8, int(kind) & 255, int(count), int(raw), int(stored))
        for kind, count, raw, stored in zip(kinds, counts, *sizes, strict=True)
    )


def total(parts: Iterable[Sum]) -> Sums:
    """Sums added up."""
    found: dict[tuple[int, int], list[int]] = {}
    for each in parts:
        figures = found.setdefault((each.codec, each.element), [0, 0, 0])
        for at, figure in enumerate((each.chunks, each.raw, each.stored)):
            figures[at] += figure
    return tuple(Sum(*kind, *figures) for kind, figures in sorted(found.items()))


def encode_sums(sums: Sums) -> bytes:
    """The value in the sub-database `sums`, 24 bytes for each."""
    return b"".join(_ROW.pack(s.codec, s.element, 0, s.chunks, s.raw, s.stored) for s in sums)


def decode_sums(data: bytes) -> Sums:
    """Sums from their bytes."""
    return tuple(Sum(codec, element, *rest) for codec, element, _, *rest in _ROW.iter_unpack(data))
