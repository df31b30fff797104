"""Fields of protobuf messages, one at a time; what they mean is for others to know.

Encoding: https://protobuf.dev/programming-guides/encoding/. Groups are refused: no format of ours
has any.
"""

from collections.abc import Container
from enum import IntEnum
from typing import Final

from .cursor import Cursor
from .parser import Source

FIELD_LIMIT: Final = 1 << 21
"""Most fields that are passed; a model of 50,000 nodes has 650,000."""
VARINT_BYTES: Final = 10
"""Longest varint: 64 bits, 7 in a byte."""


class Wire(IntEnum):
    """How a field's value is written."""

    VARINT = 0
    I64 = 1
    LEN = 2
    I32 = 5


_FIXED: Final = {1: 8, 5: 4}


class MessageCursor(Cursor):
    """A cursor that knows fields. `fields` counts those it has passed."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.fields = 0

    def field(self, end: int, wanted: Container[int]) -> tuple[int, int, int] | None:
        """The next field of the message that ends at `end` whose number is `wanted`; None at its
        end.

        Number, wire type, and a VARINT's value, else how many bytes follow: the cursor stands
        before these, and they lie within the message. ValueError where a field does not.
        """
        while self._base + self._at < end:
            self.fields += 1
            data, at = self._data, self._at
            # Most are numbers or lengths in two single bytes, and a model has a million of them.
            if at + 1 < len(data) and data[at] | data[at + 1] < 128 and not data[at] & 5:
                tag, value = data[at], data[at + 1]
                self._at = at + 2
            else:
                tag, value = self._head()
            number, wire = tag >> 3, tag & 7
            needed = value if wire else 0
            if not number or self._base + self._at + needed > end or self.fields > FIELD_LIMIT:
                raise ValueError(f"field {number} at byte {self.position} cannot be")
            if number in wanted:
                return number, wire, value
            self._at += needed
        if self._base + self._at > end:
            raise ValueError(f"something goes beyond its message at byte {end}")
        return None

    def varint(self) -> int:
        """A number of 1 to 10 bytes, 7 bits in each, the lowest first; below 2^64."""
        self._have(min(VARINT_BYTES, self.left))
        number = shift = 0
        for byte in self._data[self._at : self._at + VARINT_BYTES]:
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                self._at += shift // 7
                if number >> 64:
                    break
                return number
        raise ValueError(f"no number at byte {self.position}")

    def _head(self) -> tuple[int, int]:
        """A tag, and a VARINT's value or how many bytes follow."""
        tag = self.varint()
        if tag & 7 in _FIXED:
            return tag, _FIXED[tag & 7]
        if tag & 5:
            raise ValueError(f"a field of wire type {tag & 7} at byte {self.position}")
        return tag, self.varint()
