"""Pooled, pre-faulted buffers whose memory is used again when its last view is gone.

Fresh memory costs a page fault every 4 KiB, about as much time as hashing it; so buffers are
recycled. A view handed out (say, in a reply to the kernel) keeps its slot: the slot goes back to
the pool only when no memoryview of it is left, which the interpreter tells through a finalizer.

Concurrency: `take` may be called from any thread, and finalizers run in any. They share one
list, whose `append` and `pop` are atomic, and no counter; so threads that give back at the same
moment may keep a slot or two too many, but none is lost or handed out twice.
"""

import contextlib
import ctypes
import mmap
import weakref
from typing import Any, Final

MADV_POPULATE_WRITE: Final = 23
"""From linux/mman.h, 5.14 and later; the mmap module does not name it."""


class BufferPool:
    """Slots of `size` bytes each, made when first needed, at most `count` kept for reuse.

    `take` never waits for a slot: where none is free it makes one. Who takes slots bounds how many
    are out (the caches do); the pool bounds only how many it keeps. Without `populate` a slot's
    pages come when they are first written: for slots often used in part.
    """

    def __init__(self, size: int, count: int, *, populate: bool = True) -> None:
        self.size = size
        self._populate = populate
        self._count = count
        self._free: list[mmap.mmap] = []

    def take(self) -> memoryview:
        """A writable view of one slot; its content is arbitrary."""
        made = self.take_made()
        return self._view(self._make()) if made is None else made

    def take_made(self) -> memoryview | None:
        """As `take`, but None where a slot would have to be made, which takes milliseconds."""
        try:
            return self._view(self._free.pop())
        except IndexError:
            return None

    def _view(self, memory: mmap.mmap) -> memoryview:
        array = (ctypes.c_char * self.size).from_buffer(memory)
        weakref.finalize(array, self._give_back, memory).atexit = False
        return memoryview(array).cast("B")

    def _make(self) -> mmap.mmap:
        memory = mmap.mmap(-1, self.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Huge pages: 512 times fewer faults. A kernel without them only says no.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
            if self._populate:
                memory.madvise(MADV_POPULATE_WRITE)
        return memory

    def _give_back(self, memory: Any) -> None:
        if len(self._free) < self._count:
            self._free.append(memory)


class SizedBuffers:
    """Memory of any size up to the largest slot: a slot where it would be filled at least half,
    else just the bytes asked for.

    Who keeps a view keeps its whole slot, so a slot for a few bytes would be memory wasted.
    """

    def __init__(self, *sizes: int, count: int) -> None:
        self._pools = tuple(BufferPool(size, count) for size in sizes)

    def take(self, size: int) -> memoryview:
        """A writable view of `size` bytes; its content is arbitrary."""
        pool = self._pool(size)
        return memoryview(bytearray(size)) if pool is None else pool.take()[:size]

    def take_made(self, size: int) -> memoryview | None:
        """As `take`, but None where a slot would have to be made, which takes milliseconds."""
        pool = self._pool(size)
        if pool is None:
            return memoryview(bytearray(size))
        slot = pool.take_made()
        return None if slot is None else slot[:size]

    def _pool(self, size: int) -> BufferPool | None:
        fitting = (pool for pool in self._pools if pool.size // 2 < size <= pool.size)
        return next(fitting, None)
