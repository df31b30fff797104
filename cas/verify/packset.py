"""Sets of packs, one bit each: a million take 125 kB.

Memory: one bit for each pack number up to the highest.
"""

from collections.abc import Iterator

from ...ids import PackNumber


class PackSet:
    """A set of pack numbers."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> bool:
        """Add one; whether it is new."""
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes((number >> 3) + 1 - len(self._bits)))
        new = number not in self
        self._bits[number >> 3] |= 1 << (number & 7)
        return new

    def discard(self, number: int) -> bool:
        """Take one out; whether it was there."""
        was = number in self
        if was:
            self._bits[number >> 3] &= ~(1 << (number & 7))
        return was

    def __contains__(self, number: int) -> bool:
        byte = number >> 3
        return byte < len(self._bits) and bool(self._bits[byte] >> (number & 7) & 1)

    def __iter__(self) -> Iterator[PackNumber]:
        for byte, bits in enumerate(self._bits):
            while bits:
                low = bits & -bits
                yield PackNumber(8 * byte + low.bit_length() - 1)
                bits ^= low
