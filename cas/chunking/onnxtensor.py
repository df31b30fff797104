"""One tensor of an ONNX model: what it is, and where its bytes lie.

Format: `TensorProto` in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .protobuf import MessageCursor, Wire
from .regions import DIMENSIONS, LARGEST, ElementType, Region, product

NAME_LIMIT: Final = 1024
"""Longest name of a tensor or of its file, bytes; of a longer one the beginning counts."""
DIGITS: Final = 20
"""Longest offset or length of a tensor in another file, decimal digits."""

_E: Final = ElementType
# Two bits and six: how these are packed differs between writers, so their sizes tell nothing.
_TYPES: Final = {
    1: _E.F32,
    2: _E.U8,
    3: _E.I8,
    4: _E.U16,
    5: _E.I16,
    6: _E.I32,
    7: _E.I64,
    9: _E.BOOL,
    10: _E.F16,
    11: _E.F64,
    12: _E.U32,
    13: _E.U64,
    14: _E.C64,
    15: _E.C128,
    16: _E.BF16,
    17: _E.F8_E4M3,
    18: _E.F8_E4M3FNUZ,
    19: _E.F8_E5M2,
    20: _E.F8_E5M2FNUZ,
    21: _E.U4,
    22: _E.I4,
    23: _E.F4,
    24: _E.F8_E8M0,
}
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _DOUBLES, _EXTERNAL, _LOCATION = 1, 2, 4, 8, 9, 10, 13, 14
# Packed numbers of a fixed size are a tensor's bytes as much as raw ones; varints are not.
_FIXED: Final = {_FLOATS: (_E.F32, _E.C64), _DOUBLES: (_E.F64, _E.C128)}
_PAYLOADS: Final = (_FLOATS, 5, 6, 7, _RAW, _DOUBLES, 11)
_READ: Final = frozenset((*_PAYLOADS, _DIMS, _TYPE, _NAME, _EXTERNAL, _LOCATION))
_KEY, _VALUE = 1, 2


class External(NamedTuple):
    """A tensor whose bytes lie in the file `location` beside the model."""

    location: str
    region: Region


class _Payload(NamedTuple):
    field: int
    offset: int
    size: int


@dataclass(slots=True)
class Tensor:
    """A `TensorProto` as it was read."""

    name: str = ""
    shape: tuple[int, ...] = ()
    element: ElementType = ElementType.UNKNOWN
    outside: bool = False
    payloads: list[_Payload] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def placed(self) -> bool:
        """Whether it has bytes, here or in another file: there are graphs of very many without."""
        return self.outside or any(payload.size for payload in self.payloads)

    def regions(self) -> Iterator[Region]:
        """Its bytes in this file.

        A shape that does not fit is not told, and the element type then counts as unknown.
        """
        if len(self.payloads) != 1:
            return  # packed numbers that come in several parts are read as one tensor by nobody
        ((number, offset, size),) = self.payloads
        if not size:
            return
        if number != _RAW and self.element not in _FIXED.get(number, ()):
            yield Region(offset, size, ElementType.BYTES, self.name, self._told())
        else:
            yield self._region(offset, size)

    def external(self) -> External | None:
        """Its bytes in another file; None where it has none there, or nothing tells how many."""
        location, length = self.notes.get("location", ""), self.notes.get("length")
        if not self.outside or not location:
            return None
        offset = _number(self.notes.get("offset", "0"))
        size = self._size() if length is None else _number(length)
        if not size:
            return None
        return External(location.removeprefix("./"), self._region(offset, size))

    def _region(self, offset: int, size: int) -> Region:
        if self._size() == size:
            return Region(offset, size, self.element, self.name, self.shape)
        return Region(offset, size, ElementType.UNKNOWN, self.name)

    def _told(self) -> tuple[int, ...]:
        return self.shape if 0 < product(self.shape, LARGEST) <= LARGEST else ()

    def _size(self) -> int | None:
        """Bytes of a tensor of this type and shape; None where these do not tell."""
        elements = product(self.shape, LARGEST)
        if self.element is ElementType.UNKNOWN or elements > LARGEST:
            return None
        block = self.element.block
        return -(-elements // block.elements) * block.bytes


def read_tensor(cursor: MessageCursor, end: int) -> Tensor:
    """The tensor whose message goes from the cursor to the offset `end`. ValueError where it is
    malformed; its bytes are passed over."""
    tensor = Tensor()
    dims: list[int] = []
    while found := cursor.field(end, _READ):
        number, wire, value = found
        if wire == Wire.VARINT:
            if number == _TYPE:
                tensor.element = _TYPES.get(value, ElementType.UNKNOWN)
            elif number == _DIMS:
                dims.append(value)
            elif number == _LOCATION:
                tensor.outside = value == 1
            continue
        after = cursor.position + value
        if wire == Wire.LEN:
            _read_bytes(cursor, tensor, dims, number, after)
        cursor.skip(after - cursor.position)
        if len(dims) > DIMENSIONS or len(tensor.notes) > 8:
            raise ValueError(f"more dimensions or notes than any tensor has, at byte {after}")
    tensor.shape = tuple(dims)
    return tensor


def _read_bytes(
    cursor: MessageCursor, tensor: Tensor, dims: list[int], number: int, end: int
) -> None:
    """A field of a tensor that has a length; whatever is left of it is passed over."""
    if number in _PAYLOADS:
        if tensor.payloads and number == _RAW:
            raise ValueError(f"a tensor's bytes twice, at byte {end}")
        # Strings come one by one: two entries tell that there are several.
        if len(tensor.payloads) < 2:
            tensor.payloads.append(_Payload(number, cursor.position, end - cursor.position))
    elif number == _NAME:
        tensor.name = read_text(cursor, end)
    elif number == _DIMS:
        while cursor.position < end and len(dims) <= DIMENSIONS:
            dims.append(cursor.varint())
        if cursor.position > end:
            raise ValueError(f"dimensions go beyond their field at byte {end}")
    elif number == _EXTERNAL:
        key, value = _read_note(cursor, end)
        tensor.notes[key] = value


def _read_note(cursor: MessageCursor, end: int) -> tuple[str, str]:
    """One key and its value."""
    texts = {_KEY: "", _VALUE: ""}
    while found := cursor.field(end, texts):
        number, wire, value = found
        if wire == Wire.VARINT:
            continue
        after = cursor.position + value
        if wire == Wire.LEN:
            texts[number] = read_text(cursor, after)
        cursor.skip(after - cursor.position)
    return texts[_KEY], texts[_VALUE]


def read_text(cursor: MessageCursor, end: int) -> str:
    """Text from the cursor to the offset `end`; of a long one the beginning."""
    data = cursor.take(min(end - cursor.position, NAME_LIMIT))
    return data.decode("utf-8", "replace")


def _number(text: str) -> int:
    if len(text) > DIGITS or not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} where an offset or length belongs")
    return int(text)
