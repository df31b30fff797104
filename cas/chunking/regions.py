"""What a parser finds in a file: regions of bytes with an element type."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from ..formats.chunktable import MAX_CHUNK
from ..formats.regiontable import DIMENSIONS

__all__ = [
    "DIMENSIONS",
    "LARGEST",
    "MAX_CHUNK",
    "Block",
    "ElementType",
    "Region",
    "covers",
    "product",
]

LARGEST: Final = 1 << 62
"""Bytes and elements of a tensor, at most."""


class Block(NamedTuple):
    """The fewest whole elements that fill whole bytes; both numbers are at least 1."""

    bytes: int
    elements: int


class ElementType(IntEnum):
    """What a region consists of. One byte of the on-disk format: numbers never change.

    From 64 on: the quantised types of ggml, 64 + the number that they have there. Q8_1, which ggml
    only computes with and whose size it has changed, is not among them.
    """

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
    C128 = 24
    """Two F64 values, real and imaginary."""
    U4 = 25
    I4 = 26
    Q4_0 = 66
    Q4_1 = 67
    Q5_0 = 70
    Q5_1 = 71
    Q8_0 = 72
    Q2_K = 74
    Q3_K = 75
    Q4_K = 76
    Q5_K = 77
    Q6_K = 78
    Q8_K = 79
    IQ2_XXS = 80
    IQ2_XS = 81
    IQ3_XXS = 82
    IQ1_S = 83
    IQ4_NL = 84
    IQ3_S = 85
    IQ2_S = 86
    IQ4_XS = 87
    IQ1_M = 93
    TQ1_0 = 98
    TQ2_0 = 99
    MXFP4 = 103
    NVFP4 = 104
    Q1_0 = 105

    @property
    def block(self) -> Block:
        """How many bytes how many elements take together."""
        return _BLOCKS.get(self, _BYTE)

    @property
    def size(self) -> int:
        """What a region is cut in multiples of, in bytes: an element, a block of a quantised type;
        1 where several plain elements share a byte."""
        block = self.block
        return block.bytes if block.elements == 1 or self.quantised else 1

    @property
    def quantised(self) -> bool:
        """Whether it is one of ggml's types whose elements share scales, block by block."""
        return self >= GGML


GGML: Final = 64
"""What is added to ggml's number of a quantised type."""

_BYTE: Final = Block(1, 1)
# Sizes of ggml's blocks: ggml/src/ggml-common.h of https://github.com/ggml-org/ggml.
_BLOCKS: Final = {
    ElementType.U16: Block(2, 1),
    ElementType.I16: Block(2, 1),
    ElementType.U32: Block(4, 1),
    ElementType.I32: Block(4, 1),
    ElementType.U64: Block(8, 1),
    ElementType.I64: Block(8, 1),
    ElementType.F16: Block(2, 1),
    ElementType.BF16: Block(2, 1),
    ElementType.F32: Block(4, 1),
    ElementType.F64: Block(8, 1),
    ElementType.F4: Block(1, 2),
    ElementType.C64: Block(8, 1),
    ElementType.F6_E2M3: Block(3, 4),
    ElementType.F6_E3M2: Block(3, 4),
    ElementType.C128: Block(16, 1),
    ElementType.U4: Block(1, 2),
    ElementType.I4: Block(1, 2),
    ElementType.Q4_0: Block(18, 32),
    ElementType.Q4_1: Block(20, 32),
    ElementType.Q5_0: Block(22, 32),
    ElementType.Q5_1: Block(24, 32),
    ElementType.Q8_0: Block(34, 32),
    ElementType.Q2_K: Block(84, 256),
    ElementType.Q3_K: Block(110, 256),
    ElementType.Q4_K: Block(144, 256),
    ElementType.Q5_K: Block(176, 256),
    ElementType.Q6_K: Block(210, 256),
    ElementType.Q8_K: Block(292, 256),
    ElementType.IQ2_XXS: Block(66, 256),
    ElementType.IQ2_XS: Block(74, 256),
    ElementType.IQ3_XXS: Block(98, 256),
    ElementType.IQ1_S: Block(50, 256),
    ElementType.IQ4_NL: Block(18, 32),
    ElementType.IQ3_S: Block(110, 256),
    ElementType.IQ2_S: Block(82, 256),
    ElementType.IQ4_XS: Block(136, 256),
    ElementType.IQ1_M: Block(56, 256),
    ElementType.TQ1_0: Block(54, 256),
    ElementType.TQ2_0: Block(66, 256),
    ElementType.MXFP4: Block(17, 32),
    ElementType.NVFP4: Block(36, 64),
    ElementType.Q1_0: Block(18, 128),
}


def element_name(number: int) -> str:
    """What the element type of that number is called; one that a later release knows too."""
    known = number in ElementType._value2member_map_
    return ElementType(number).name if known else f"type {number}"


@dataclass(frozen=True, slots=True)
class Region:
    """A run of a file's bytes of one element type: offset and size in bytes.

    `name` and `shape` are what the file calls it, where it says so (a tensor and its dimensions;
    `orders` has what it says of elements that do not lie in C's order).
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


def product(numbers: Iterable[int], limit: int) -> int:
    """The product of numbers ≥ 0, or any number above `limit`: they may have thousands of digits,
    and there may be any number of them."""
    result = 1
    for number in sorted(numbers):
        result *= number
        if result > limit:
            break
    return result
