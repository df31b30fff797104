"""The GGUF format of ggml and llama.cpp: metadata, a list of tensors, then the tensors themselves.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Version 1 counts with 32 bits
where 2 and 3 take 64. A file of a split set is whole by itself. Big-endian files, whose versions
read as huge numbers, stay unknown bytes: the codecs know little-endian weights.
"""

import logging
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from .cursor import Cursor
from .gaps import filled
from .parser import Source
from .regions import GGML, LARGEST, ElementType, Region, product
from .room import TENSOR_SIZE, Room
from .spans import SMALL_REGION

VERSIONS: Final = (1, 2, 3)
MAGIC: Final = b"GGUF"
ALIGNMENT: Final = 32
"""Where the metadata does not say how tensors are aligned."""
TENSOR_LIMIT: Final = 1 << 17
"""Most tensors in a file: thirty times what the largest models have."""
NAME_LIMIT: Final = 1024
"""Longest name of a tensor, bytes; ggml itself takes 63."""
KEYS_LIMIT: Final = 1 << 16
"""Most keys of the metadata; models have about fifty."""
KEY_LIMIT: Final = 1 << 16
"""Longest key of the metadata, bytes; the format's own limit."""
DIMENSIONS: Final = 4
"""Most dimensions of a tensor; the format's own limit."""
DEPTH: Final = 8
"""Arrays within arrays that are followed; ggml itself writes none."""
ARRAY_LIMIT: Final = 1 << 16
"""Most arrays, those within arrays counted one by one."""

_LOG: Final = logging.getLogger(__name__)
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_STRING: Final = 8
_ARRAY: Final = 9
_UINT32: Final = 4
# Bytes of each type of metadata that has a fixed size.
_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_PLAIN: Final = {
    0: ElementType.F32,
    1: ElementType.F16,
    24: ElementType.I8,
    25: ElementType.I16,
    26: ElementType.I32,
    27: ElementType.I64,
    28: ElementType.F64,
    30: ElementType.BF16,
}
_TYPES: Final = _PLAIN | {e - GGML: e for e in ElementType if e.quantised}


class _Tensor(NamedTuple):
    """One tensor as it is listed; `size` is None where its type does not tell."""

    offset: int
    size: int | None
    element: ElementType
    name: str
    shape: tuple[int, ...]


class GgufParser:
    """Finds the metadata and the tensors of a GGUF file.

    A region's shape has the slowest dimension first, as in all other formats.
    """

    name = "gguf"

    def suits(self, file_name: str, head: bytes) -> bool:
        """By its name or its first four bytes."""
        return file_name.lower().endswith(".gguf") or head.startswith(MAGIC)

    def parse(self, source: Source) -> list[Region] | None:
        """What stands before the tensors, each tensor, and the padding between them."""
        try:
            return _Reading(source).regions()
        except ValueError as error:
            _LOG.debug("a malformed GGUF file, cut as unknown bytes: %s", error)
            return None


class _Reading:
    """One file being read. ValueError where it is not as it should be."""

    def __init__(self, source: Source) -> None:
        self._cursor = Cursor(source)
        self._end = source.size
        self._room = Room.of(source.size)
        self._alignment = 0
        self._number = _U64
        self._arrays = 0
        # Where large values of the metadata begin and end: a vocabulary is the same in every
        # quantisation of a model, but not what stands before it.
        self._marks: list[int] = []

    def regions(self) -> list[Region]:
        """The file's regions in file order."""
        count, keys = self._head()
        if count > TENSOR_LIMIT or keys > KEYS_LIMIT:
            raise ValueError(f"{count} tensors, {keys} keys")
        for _ in range(keys):
            self._member()
        tensors = list(self._tensors(count))
        alignment = self._alignment or ALIGNMENT
        start = self._cursor.position + -self._cursor.position % alignment
        tensors.sort(key=lambda tensor: tensor.offset)
        return filled(self._placed(tensors, start), self._end, self._marks)

    def _head(self) -> tuple[int, int]:
        """Number of tensors and number of keys."""
        if self._cursor.take(4) != MAGIC:
            raise ValueError("no GGUF")
        version = self._cursor.u32()
        if version not in VERSIONS:
            raise ValueError(f"version {version}, or big-endian")
        if version == 1:
            self._number = _U32
        return self._count(), self._count()

    def _count(self) -> int:
        return self._cursor.u32() if self._number is _U32 else self._cursor.u64()

    def _member(self) -> None:
        """One key and its value."""
        size = self._count()
        if size > KEY_LIMIT:
            raise ValueError(f"a key of {size} bytes")
        key, kind = self._cursor.take(size), self._cursor.u32()
        if key == b"general.alignment":
            self._align(kind)
            return
        start = self._cursor.position
        self._value(kind)
        if self._cursor.position - start >= SMALL_REGION:
            self._room.take(TENSOR_SIZE)
            self._marks += [start, self._cursor.position]

    def _align(self, kind: int) -> None:
        alignment = self._cursor.u32() if kind == _UINT32 else 0
        if alignment.bit_count() != 1 or self._alignment:
            raise ValueError("an alignment that is none, or comes twice")
        self._alignment = alignment

    def _value(self, kind: int) -> None:
        """Go on behind a value. Arrays within arrays wait in a list, not on the stack."""
        waiting: list[tuple[int, int]] = [(kind, 1)]
        while waiting:
            kind, count = waiting.pop()
            if kind in _SIZES:
                self._cursor.skip(count * _SIZES[kind])
            elif kind == _STRING:
                self._cursor.skip_strings(count, self._number)
            elif kind != _ARRAY:
                raise ValueError(f"a value of type {kind}")
            elif count:
                self._arrays += 1
                waiting += [(kind, count - 1), (self._cursor.u32(), self._count())]
                if len(waiting) > DEPTH + 1 or self._arrays > ARRAY_LIMIT:
                    raise ValueError("too many arrays, or too deep")

    def _tensors(self, count: int) -> Iterator[_Tensor]:
        """The tensors as they are listed, without the empty ones."""
        seen: set[str] = set()
        for _ in range(count):
            tensor = self._tensor()
            self._room.keep(tensor.name, tensor.shape)
            if tensor.name in seen:
                raise ValueError(f"a second tensor {tensor.name!r}")
            seen.add(tensor.name)
            if tensor.size != 0:
                yield tensor

    def _tensor(self) -> _Tensor:
        size = self._count()
        if size > NAME_LIMIT:
            raise ValueError(f"a name of {size} bytes")
        name = self._cursor.take(size).decode()
        dimensions = self._cursor.u32()
        if dimensions > DIMENSIONS:
            raise ValueError(f"tensor {name!r} of {dimensions} dimensions")
        shape = tuple(self._count() for _ in range(dimensions))[::-1]
        element = _TYPES.get(self._cursor.u32(), ElementType.UNKNOWN)
        offset = self._cursor.u64()
        return _Tensor(offset, _size(name, element, shape), element, name, shape)

    def _placed(self, tensors: list[_Tensor], start: int) -> Iterator[Region]:
        """Regions of the sorted `tensors`; one of unknown size ends where the next one begins."""
        ends = [start + tensor.offset for tensor in tensors[1:]] + [self._end]
        for (offset, size, element, name, shape), end in zip(tensors, ends, strict=False):
            size = end - start - offset if size is None else size
            yield Region(start + offset, size, element, name, shape)


def _size(name: str, element: ElementType, shape: tuple[int, ...]) -> int | None:
    """Bytes of a tensor, None where its type is unknown. Its rows are whole blocks."""
    elements = product(shape, LARGEST)
    block = element.block
    if elements > LARGEST or (shape and shape[-1] % block.elements):
        raise ValueError(f"tensor {name!r} cannot have the shape {shape}")
    if element is ElementType.UNKNOWN:
        return None if elements else 0
    return elements // block.elements * block.bytes
