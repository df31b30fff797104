"""Bytes to be uploaded, copied out of the caller's buffers: those may change once it gave up.

An upload that was given up goes on for a while. What it sends must not come from buffers that are
filled anew meanwhile, or a shard of mixed bytes would lie under a good key. Buffers are kept for
the next upload: first touching so much fresh memory costs more than the copy.

Concurrency: used by worker threads of all backends; the list of free buffers is under a lock.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from .base import Buffer
from .upload import Approval

STEP: Final = 1 << 20
"""Buffers are multiples of so many bytes."""
KEPT: Final = 4
"""So many free buffers are kept,"""
LARGEST_KEPT: Final = 17 << 20
"""none of them larger than this."""

_free: list[bytearray] = []
_lock = threading.Lock()


@contextlib.contextmanager
def staged(parts: Sequence[Buffer], approval: Approval) -> Iterator[memoryview]:
    """The concatenation of `parts`, in a buffer of its own until the block ends.

    AbandonedError where the caller gave up before all of it was copied.
    """
    size = size_of(parts)
    buffer = _take(size)
    try:
        view = memoryview(buffer)[:size]
        at = 0
        for part in parts:
            source = memoryview(part).cast("B")
            view[at : at + len(source)] = source
            at += len(source)
        approval.commit()
        yield view
    finally:
        _give_back(buffer)


def pieces(parts: Sequence[Buffer], size: int, approval: Approval) -> Iterator[bytes]:
    """The concatenation of `parts` in pieces of `size` bytes, the last one shorter.

    AbandonedError in place of a piece that was not copied before the caller gave up.
    """
    left = size_of(parts)
    piece = bytearray()
    for part in parts:
        source = memoryview(part).cast("B")
        while len(source):
            taken = source[: size - len(piece)]
            piece += taken
            source = source[len(taken) :]
            left -= len(taken)
            if len(piece) == size or not left:
                (approval.check if left else approval.commit)()
                yield bytes(piece)
                piece.clear()


def size_of(parts: Sequence[Buffer]) -> int:
    """How many bytes they are."""
    return sum(memoryview(part).nbytes for part in parts)


def _take(size: int) -> bytearray:
    with _lock:
        fitting = [buffer for buffer in _free if len(buffer) >= size]
        if fitting:
            smallest = min(fitting, key=len)
            _free[:] = [buffer for buffer in _free if buffer is not smallest]
            return smallest
    return bytearray(-(-size // STEP) * STEP)


def _give_back(buffer: bytearray) -> None:
    if len(buffer) > LARGEST_KEPT:
        return
    with _lock:
        _free.append(buffer)
        _free.sort(key=len)
        del _free[:-KEPT]
