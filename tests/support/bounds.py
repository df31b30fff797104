"""What a parser takes: bytes read, calls made, memory at its peak."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class LongSource:
    """A file of `size` bytes that begins with `head` and then repeats `rest`; what was read of it
    is counted."""

    head: bytes
    size: int
    rest: bytes = b"\0"
    beside: None = None
    bytes_read: int = 0
    reads: int = 0

    def read(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise EOFError(f"{size} bytes at {offset} of {self.size}")
        self.bytes_read += size
        self.reads += 1
        data = self.head[offset : offset + size]
        missing = size - len(data)
        shift = max(0, offset - len(self.head)) % len(self.rest)
        repeated = self.rest * (missing // len(self.rest) + 2)
        return data + repeated[shift : shift + missing]


def peak(work: Callable[[], T]) -> tuple[T, int]:
    """What `work` gives, and how many bytes of memory it took at its peak."""
    tracemalloc.start()
    try:
        result = work()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
