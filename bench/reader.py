"""Readers that cannot be fooled by wrong bytes: what they got is hashed, off the clock.

One reads as `dd bs=1M` does, one copies out of a mapping as a loader does.
"""

import mmap
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

Way = Callable[[int, memoryview], int]
"""Takes all of an open file through a buffer, from its start to its end; the bytes it got."""


def read_through(descriptor: int, buffer: memoryview) -> int:
    """By preadv, a buffer at a time."""
    return _read(descriptor, buffer)


def read_mapped(descriptor: int, buffer: memoryview) -> int:
    """By page faults: copied out of a mapping, a buffer at a time, with no advice to the kernel."""
    with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as mapping, memoryview(mapping) as view:
        for offset in range(0, len(view), len(buffer)):
            part = view[offset : offset + len(buffer)]
            buffer[: len(part)] = part
            part.release()
        return len(view)


def read_cold(path: Path, expected: Source, way: Way = read_through) -> Run:
    """Read `path` once from start to end with an empty page cache; the clock runs from its open.

    The pages this leaves in the cache are then hashed through the same descriptor, off the clock:
    `BenchError` unless they are what `expected` says.
    """
    drop_page_cache()
    warm_memory(WARMED * expected.size)
    return _checked(path, expected, way)


def read_warm(path: Path, expected: Source) -> Run:
    """Read `path` a second time, with what the first read left in the page cache; checked too."""
    read_cold(path, expected)
    return _checked(path, expected, read_through)


def _checked(path: Path, expected: Source, way: Way) -> Run:
    hasher = blake3()
    try:
        size, seconds = _read_twice(path, way, hasher.update)
    except OSError as error:
        raise BenchError(f"{path.name} could not be read: {error.strerror}") from error
    if size != expected.size or hasher.digest() != expected.digest:
        raise BenchError(f"{path.name} read {size} bytes that are not those of the original")
    return Run(seconds)


def _read_twice(path: Path, way: Way, see: Callable[[memoryview], object]) -> tuple[int, float]:
    """The bytes and seconds of the timed read; `see` gets every block of the one after it."""
    buffer = memoryview(bytearray(BUFFER_SIZE))
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = way(descriptor, buffer)
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
