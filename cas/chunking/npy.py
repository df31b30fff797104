"""NumPy's file format for one array: a header that is a Python literal, then the elements.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, versions 1 to 3.
The literal is taken apart by regular expressions whose repetitions are possessive: nothing is
evaluated, and it takes linear time.
"""

import logging
import re
import struct
from typing import Final, NamedTuple

from .gaps import filled
from .orders import of_columns
from .parser import Source
from .regions import DIMENSIONS, LARGEST, ElementType, Region, product

MAGIC: Final = b"\x93NUMPY"
HEADER_LIMIT: Final = 64 << 10
"""Longest header in bytes; NumPy itself reads 10,000."""
FIRST_READ: Final = 4 << 10
"""Bytes read first: few headers are longer, and an archive may have thousands of arrays."""
NAME: Final = "arr_0"
"""What NumPy calls an array that was saved without a name."""

_LOG: Final = logging.getLogger(__name__)
_LENGTHS: Final = {1: struct.Struct("<H"), 2: struct.Struct("<I"), 3: struct.Struct("<I")}
_VERSION: Final = len(MAGIC)
_START: Final = _VERSION + 2
_FIELD: Final = re.compile(
    rb"\s*+'(descr|fortran_order|shape)'\s*+:\s*+"
    rb"('[^'\\]*+'|True|False|\((?:\s*+\d{1,19}+L?\s*+(?:,|(?=\))))*+\s*+\)|(?=\[))"
)
_NEXT: Final = re.compile(rb"\s*+(,\s*+\}|,|\})")
_BRACKETS: Final = re.compile(rb"[^\[\]'\"]++|'[^'\\]*+'|\"[^\"\\]*+\"|([\[\]])")
_DTYPE: Final = re.compile(rb"'([<>|=]?)([?a-zA-Z])(\d{0,9})(?:\[\w{1,20}\])?'")
_ELEMENTS: Final = {
    b"b1": ElementType.BOOL,
    b"i1": ElementType.I8,
    b"i2": ElementType.I16,
    b"i4": ElementType.I32,
    b"i8": ElementType.I64,
    b"u1": ElementType.U8,
    b"u2": ElementType.U16,
    b"u4": ElementType.U32,
    b"u8": ElementType.U64,
    b"f2": ElementType.F16,
    b"f4": ElementType.F32,
    b"f8": ElementType.F64,
    b"c8": ElementType.C64,
    b"c16": ElementType.C128,
    b"m8": ElementType.I64,
    b"M8": ElementType.I64,
    b"V2": ElementType.BF16,  # what ml_dtypes (JAX, TensorFlow) writes a bfloat16 as
}
_TEXT: Final = (b"S", b"a")


class Header(NamedTuple):
    """What a header says: bytes up to the elements, bytes of them (None: it does not say), type,
    and what is told of the shape."""

    length: int
    size: int | None
    element: ElementType
    shape: tuple[int, ...]


class NpyParser:
    """Finds the header and the elements of an array."""

    name = "npy"

    def suits(self, file_name: str, head: bytes) -> bool:
        """By its beginning."""
        return head.startswith(MAGIC)

    def parse(self, source: Source) -> list[Region] | None:
        """The header, the array, and what may follow it; None for a malformed one, and for one of
        Python's objects."""
        try:
            array = find_array(source, 0, source.size, NAME)
            return filled([array] if array.size else [], source.size)
        except ValueError as error:
            _LOG.debug("a malformed array, cut as unknown bytes: %s", error)
            return None


def find_array(source: Source, offset: int, size: int, name: str) -> Region:
    """The elements of the array that `size` bytes from `offset` on hold. ValueError if they hold
    none. Swapped bytes are where they are all the same; the shape tells of Fortran's order."""
    data = source.read(offset, min(size, FIRST_READ))
    start, length = _extent(data)
    if start + length > min(size, HEADER_LIMIT):
        raise ValueError(f"a header of {length} bytes")
    if start + length > len(data):
        data = source.read(offset, start + length)
    header = read_header(data)
    room = size - header.length
    length = room if header.size is None else header.size
    if length > room:
        raise ValueError(f"an array of {length} bytes in {room}")
    return Region(offset + header.length, length, header.element, name, header.shape)


def read_header(data: bytes) -> Header:
    """The header that `data` begins with. ValueError for another one, and for Python's objects."""
    start, length = _extent(data)
    if length > len(data) - start:
        raise ValueError(f"a header of {length} bytes")
    fields = _fields(data[start : start + length])
    if fields.keys() != {b"descr", b"fortran_order", b"shape"}:
        raise ValueError("a header without the three fields that belong there")
    if fields[b"fortran_order"] not in (b"True", b"False") or fields[b"shape"][:1] != b"(":
        raise ValueError("a shape or an order that is none")
    shape = tuple(int(number) for number in re.findall(rb"\d++", fields[b"shape"]))
    if len(shape) > DIMENSIONS:
        raise ValueError(f"{len(shape)} dimensions")
    element, unit = _element(fields[b"descr"])
    size = None if unit is None else unit * product(shape, LARGEST)
    columns = fields[b"fortran_order"] == b"True"
    return Header(start + length, size, element, of_columns(shape) if columns else shape)


def _extent(data: bytes) -> tuple[int, int]:
    """Where the header's text begins, and how long it says it is."""
    version = _LENGTHS.get(data[_VERSION]) if data[:_VERSION] == MAGIC and len(data) > 12 else None
    if version is None:
        raise ValueError("no array of NumPy's")
    (length,) = version.unpack_from(data, _START)
    return _START + version.size, int(length)


def _fields(text: bytes) -> dict[bytes, bytes]:
    """The members of a dict literal: strings, booleans and shapes as they stand there, and a list
    as its first bracket."""
    fields: dict[bytes, bytes] = {}
    at, end = 1, text.rstrip()
    if not end.startswith(b"{") or not end.endswith(b"}"):
        raise ValueError("a header that is no dict")
    while field := _FIELD.match(end, at):
        if field[1] in fields:
            raise ValueError(f"{field[1]!r} stands there twice")
        fields[field[1]] = field[2] or b"["
        stop = _NEXT.match(end, field.end() if field[2] else _behind_list(end, field.end()))
        if stop is None:
            break
        at = stop.end()
        if at == len(end):
            return fields
    raise ValueError(f"no field of a header at byte {at}")


def _behind_list(text: bytes, at: int) -> int:
    """Where the list ends that begins at `at`."""
    depth = 0
    while token := _BRACKETS.match(text, at):
        at = token.end()
        depth += {b"[": 1, b"]": -1}.get(token[1], 0)
        if depth == 0:
            return at
    raise ValueError("a list without an end")


def _element(descr: bytes) -> tuple[ElementType, int | None]:
    """The type and size of an element; of records only that they are something."""
    if descr == b"[":
        return ElementType.UNKNOWN, None
    match = _DTYPE.fullmatch(descr)
    if match is None or match[2] == b"O":
        raise ValueError(f"elements {descr!r}")
    order, kind, size = match[1], match[2], int(match[3] or 1)
    if kind in _TEXT:
        return ElementType.BYTES, size
    if kind == b"U":
        return ElementType.BYTES, 4 * size
    known = _ELEMENTS.get(kind + match[3], ElementType.UNKNOWN)
    return ElementType.UNKNOWN if order == b">" else known, size
