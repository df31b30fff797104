"""A plain sequential reader, as `dd bs=1M` is one, that cannot be fooled by wrong bytes."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from blake3 import blake3

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError, Run, drop_page_cache, warm_memory

BUFFER_SIZE: Final = 1 << 20
WARMED: Final = 2
"""Times the file's size: its page cache, and every process's own memory."""


def read_cold(path: Path, expected: Source) -> Run:
    """Read `path` once from start to end with an empty page cache; the clock runs from its open.

    The pages this leaves in the cache are then hashed through the same descriptor, off the clock:
    `BenchError` unless they are what `expected` says.
    """
    drop_page_cache()
    warm_memory(WARMED * expected.size)
    hasher = blake3()
    try:
        size, seconds = _read_twice(path, hasher.update)
    except OSError as error:
        raise BenchError(f"{path.name} could not be read: {error.strerror}") from error
    if size != expected.size or hasher.digest() != expected.digest:
        raise BenchError(f"{path.name} read {size} bytes that are not those of the original")
    return Run(seconds)


def _read_twice(path: Path, see: Callable[[memoryview], object]) -> tuple[int, float]:
    """The bytes and seconds of the timed read; `see` gets every block of the one after it."""
    buffer = memoryview(bytearray(BUFFER_SIZE))
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = _read(descriptor, buffer)
        seconds = time.perf_counter() - start
        _read(descriptor, buffer, see)
    finally:
        os.close(descriptor)
    return size, seconds


def _read(
    descriptor: int,
    buffer: memoryview,
    see: Callable[[memoryview], object] | None = None,
) -> int:
    offset = 0
    while count := os.preadv(descriptor, [buffer], offset):
        if see is not None:
            see(buffer[:count])
        offset += count
    return offset
