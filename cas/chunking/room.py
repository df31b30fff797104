"""The memory that a parser may use for one file: all that it keeps of it, counted together.

Limits of single things multiply: so many tensors, each with so long a name and so many dimensions.
So all of them are paid from one budget, by what they take in Python and not by how they are
written: one character beyond U+FFFF makes four bytes of every other one in its string.
"""

from sys import getsizeof
from typing import Final

ROOM: Final = 112 << 20
"""Bytes for a large file, at most: some 140,000 tensors of a safetensors file."""
LEAST: Final = 4 << 20
"""Bytes for the smallest file."""
FOR_EACH_BYTE: Final = 6
"""And so many more for each byte of a file: several small ones are parsed at the same time."""
TENSOR_SIZE: Final = 512
"""Bytes for a tensor besides its name and shape: its region, numbers, places in lists and sets,
what stands between it and the next one."""


class Room:
    """A budget in bytes; ValueError where it is used up."""

    def __init__(self, size: int) -> None:
        self.left = size

    @classmethod
    def of(cls, size: int) -> "Room":
        """That of a file of `size` bytes."""
        return cls(min(ROOM, LEAST + FOR_EACH_BYTE * size))

    def take(self, size: int) -> None:
        """Use `size` bytes."""
        if size > self.left:
            raise ValueError("more tensors, longer names or larger shapes than a parser keeps")
        self.left -= size

    def give(self, size: int) -> None:
        """Have `size` bytes again that were taken."""
        self.left += size

    def keep(self, name: str, shape: tuple[int, ...] = ()) -> None:
        """Use what a tensor of this name and shape takes."""
        numbers = getsizeof(shape) + sum(map(getsizeof, shape))
        self.take(TENSOR_SIZE + getsizeof(name) + numbers)
