"""What a parser finds in a file: regions of bytes with an element type."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from ..formats.chunktable import MAX_CHUNK

__all__ = ["MAX_CHUNK", "ElementType", "Region", "covers"]


class ElementType(IntEnum):
    """What a region consists of. One byte of the on-disk format: numbers never change."""

    UNKNOWN = 0
    BYTES = 1
    """Text, headers, metadata; also small regions of several types in one chunk."""
    BOOL = 2
    U8 = 3
    I8 = 4
    U16 = 5
    I16 = 6
    U32 = 7
    I32 = 8
    U64 = 9
    I64 = 10
    F16 = 11
    BF16 = 12
    F32 = 13
    F64 = 14
    F8_E4M3 = 15
    F8_E5M2 = 16
    F4 = 17
    C64 = 18
    """Two F32 values, real and imaginary."""
    F8_E4M3FNUZ = 19
    F8_E5M2FNUZ = 20
    F8_E8M0 = 21
    F6_E2M3 = 22
    F6_E3M2 = 23

    @property
    def bits(self) -> int:
        """The size of one element in bits."""
        return _BITS.get(self, 8)

    @property
    def size(self) -> int:
        """The size of one element in bytes; 1 where several share a byte."""
        return max(1, self.bits // 8)


_BITS: Final = {
    ElementType.U16: 16,
    ElementType.I16: 16,
    ElementType.U32: 32,
    ElementType.I32: 32,
    ElementType.U64: 64,
    ElementType.I64: 64,
    ElementType.F16: 16,
    ElementType.BF16: 16,
    ElementType.F32: 32,
    ElementType.F64: 64,
    ElementType.F4: 4,
    ElementType.C64: 64,
    ElementType.F6_E2M3: 6,
    ElementType.F6_E3M2: 6,
}


@dataclass(frozen=True, slots=True)
class Region:
    """A run of a file's bytes of one element type: offset and size in bytes.

    `name` and `shape` are what the file calls it, where it says so (a tensor and its dimensions).
    """

    offset: int
    size: int
    element: ElementType
    name: str = ""
    shape: tuple[int, ...] = ()


def covers(regions: Iterable[Region], size: int) -> bool:
    """Whether `regions` follow each other without gap or overlap from 0 to exactly `size`."""
    position = 0
    for region in regions:
        if region.offset != position or region.size <= 0:
            return False
        position += region.size
    return position == size
