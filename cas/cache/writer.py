"""What was read, on its way to the disk cache: a bounded queue, one writer behind it.

Nobody waits for the disk: where the queue is full a chunk is not cached, and comes by again another
time. What is queued keeps its memory, and is charged to the budget of all reading.

Concurrency: `put` and `release` in the event loop, they never wait. Writes happen one after the
other in a worker thread; making them durable, and reading back what is complete, beside them.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

import trio
import trio.from_thread

from .datafile import Piece
from .diskcache import DiskCache
from .sharedfile import SharedFile

QUEUE: Final = 32 << 20
"""Bytes that wait at most, but not more than one part in SHARE of the budget."""
SHARE: Final = 8
BATCH: Final = 8 << 20
"""Bytes written in one go."""
FLUSH: Final = 64 << 20
"""Bytes of a file after which it is flushed while it is being written."""
SMALL: Final = 64 << 20
"""A file of at most so many bytes is read back as soon as it is complete; a larger one when nobody
has it open, or there is nothing else to do."""
SETTLES: Final = 4
"""Files made durable, or read back, at once."""
FILES: Final = 256
"""Files that are being written at most; each holds a descriptor."""
IDLE: Final = 1.0
"""Seconds without work after which everything is flushed."""
TEND: Final = 60.0
"""Seconds between two looks at the room on the disk, while nothing is written."""
LAST: Final = 5.0
"""Seconds that the last flush may take when a store is closed."""


log = logging.getLogger(__name__)


class Budget(Protocol):
    """The memory that reading may take."""

    @property
    def limit(self) -> int:
        """Bytes in all."""
        ...

    def charge(self, size: int) -> None:
        """Bytes are taken."""
        ...

    def give(self, size: int) -> None:
        """They are free again."""
        ...


class _Write(NamedTuple):
    shared: SharedFile
    piece: Piece
    data: memoryview


class CacheWriter:
    """Writes to one disk cache; `run` does the work."""

    def __init__(self, cache: DiskCache, budget: Budget) -> None:
        self._cache = cache
        self._budget = budget
        self._limit = min(QUEUE, budget.limit // SHARE)
        self._queue: deque[_Write] = deque()
        self._size = 0
        # Files with something queued or not flushed, and how much of each is queued: each is kept
        # open by one user, the writer.
        self._dirty: dict[SharedFile, int] = {}
        self._settling: set[SharedFile] = set()
        self._leaving: deque[SharedFile] = deque()
        self._wake = trio.Event()
        self._writing = threading.Lock()
        self._threads = trio.CapacityLimiter(2)
        # Their own, for what is read back may be as long as a disk is large.
        self._settles = trio.CapacityLimiter(SETTLES)

    @property
    def files(self) -> int:
        """How many files it has open."""
        return len(self._dirty)

    def put(self, shared: SharedFile, piece: Piece, data: memoryview) -> None:
        """Have a verified chunk written soon; or leave it, where there is no room."""
        if shared.failed or self._size + piece.raw > self._limit or shared.file.has(piece.number):
            return
        if shared not in self._dirty:
            if len(self._dirty) >= FILES:
                return
            self._cache.retain(shared)
        self._dirty[shared] = self._dirty.get(shared, 0) + 1
        self._queue.append(_Write(shared, piece, data))
        self._size += piece.raw
        self._budget.charge(piece.raw)
        self._wake.set()

    def release(self, shared: SharedFile) -> None:
        """A reader is done with a file."""
        self._leaving.append(shared)
        self._wake.set()

    def tidy(self, shared: SharedFile) -> None:
        """Have a file that is complete read back and sealed, when nothing else is to be done."""
        if shared not in self._dirty and not shared.failed:
            self._cache.retain(shared)
            self._dirty[shared] = 0
            self._wake.set()

    async def run(self) -> None:
        """Write what is put, for as long as the store is open."""
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    await self._step(nursery)
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST):
                await self._in_thread(self._end)

    async def _step(self, nursery: trio.Nursery) -> None:
        if not self._queue and not self._leaving:
            await self._rest(nursery)
            return
        if self._leaving:  # first: each holds a descriptor, and the queue may never be empty
            leaving = list(self._leaving)
            self._leaving.clear()
            await self._in_thread(self._let_go, leaving)
        if self._queue:
            await self._write()
        for shared, queued in self._dirty.items():
            small = shared.file.complete and shared.file.size <= SMALL
            if not queued and (small or shared.users == 1):
                self._begin(nursery, shared)
            elif shared.unflushed >= FLUSH:
                self._begin(nursery, shared, final=False)

    async def _rest(self, nursery: trio.Nursery) -> None:
        self._wake = trio.Event()
        with trio.move_on_after(IDLE if self._dirty else TEND):
            await self._wake.wait()
            return
        for shared in self._dirty:
            self._begin(nursery, shared)
        if not self._dirty:
            await self._in_thread(self._cache.tend)

    async def _write(self) -> None:
        batch, size = [], 0
        while self._queue and size < BATCH:
            batch.append(self._queue.popleft())
            size += batch[-1].piece.raw
        try:
            await self._in_thread(self._put, batch)
        finally:
            self._size -= size
            self._budget.give(size)
            for write in batch:
                self._dirty[write.shared] -= 1

    def _put(self, batch: list[_Write]) -> None:
        # At the end a thread may be left behind with a batch: what it wrote is to be flushed too.
        with self._writing:
            for write in batch:
                self._cache.put(write.shared, write.piece, write.data)

    def _begin(self, nursery: trio.Nursery, shared: SharedFile, *, final: bool = True) -> None:
        if shared not in self._settling:
            self._settling.add(shared)
            nursery.start_soon(self._settle, shared, final)

    async def _settle(self, shared: SharedFile, final: bool) -> None:
        settle = partial(self._cache.settle, shared, trio.from_thread.check_cancelled, final=final)
        await self._in_thread(settle, limiter=self._settles)
        self._settling.discard(shared)
        if final and not self._dirty[shared] and shared.settled:
            del self._dirty[shared]
            self.release(shared)

    def _let_go(self, leaving: list[SharedFile]) -> None:
        for shared in leaving:
            self._cache.release(shared)

    def _end(self) -> None:
        self._put(list(self._queue))
        self._cache.close()

    async def _in_thread(
        self,
        work: Callable[..., None],
        *arguments: object,
        limiter: trio.CapacityLimiter | None = None,
    ) -> None:
        """A disk that hangs holds a thread, and not the end of the store; and a mistake in here may
        cost the cache, but not the mount around it."""
        try:
            await trio.to_thread.run_sync(
                work, *arguments, abandon_on_cancel=True, limiter=limiter or self._threads
            )
        except Exception:
            log.exception("the disk cache failed")
