"""Numbers of as many bytes as they need: LEB128, seven bits a byte, the lowest first.

As in DWARF 5, 7.6, unsigned, but with one form only: the shortest. `docs/format.md`, Regions.
"""

from typing import Final

from ...errors import ChunkDamagedError

MOST: Final = (1 << 63) - 1
"""The largest number: nine bytes."""

_BYTES: Final = 9


def encode_varint(number: int) -> bytes:
    """The bytes of a number from 0 to MOST."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


class VarintReader:
    """Reads numbers and bytes one after the other; `at` is how far it came.

    ChunkDamagedError where the data ends too early, or a number is not in its shortest form.
    """

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def byte(self) -> int:
        """The next byte."""
        if self.at >= len(self._data):
            raise ChunkDamagedError("a region table is cut short")
        value = self._data[self.at]
        self.at += 1
        return value

    def varint(self) -> int:
        """The next number."""
        value = self.byte()
        if value < 0x80:
            return value
        value &= 0x7F
        for shift in range(7, 7 * _BYTES, 7):
            part = self.byte()
            value |= (part & 0x7F) << shift
            if part < 0x80:
                if not part:
                    break
                return value
        raise ChunkDamagedError("a region table has a number that cannot be")

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        part = self._data[self.at : self.at + size]
        if len(part) != size:
            raise ChunkDamagedError("a region table is cut short")
        self.at += size
        return part
