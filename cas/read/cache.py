"""Verified chunks in memory: what a stream has passed goes first, then what was used longest ago.

They are bounded by the memory they pin, and charged to the budget of all that reads keep.

A chunk keeps all of the buffer that it lies in, with the chunks that were loaded together with it;
so what is counted are the buffers, each once, for as long as a chunk in it is kept.

Concurrency: any thread may call anything; a lock keeps the tables in step, and no call holds it
for longer than it takes to change them. Memory that was handed out stays valid when its chunk is
evicted; its buffer is recycled when the last view is gone.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Lock

from ...ids import ChunkId
from .budget import MemoryBudget


@dataclass(frozen=True, slots=True)
class Loaded:
    """A chunk's verified raw bytes: `size` bytes from `start` on of `memory`.

    Chunks that were loaded together lie in one memory, those that follow each other in a file
    mostly end to end; so a read across their border need not join copies.
    """

    memory: memoryview
    start: int
    size: int

    @property
    def data(self) -> memoryview:
        """The chunk's bytes alone."""
        return self.memory[self.start : self.start + self.size]


class ChunkCache:
    """Chunks by id, in buffers of at most `budget` bytes together; always the last one put.

    Who sets another `budget` later has more loaded ahead.
    `gone` hears of each chunk that had to go; it may not call the cache.
    """

    def __init__(
        self,
        budget: int,
        gone: Callable[[ChunkId], None] = lambda _id: None,
        memory: MemoryBudget | None = None,
    ) -> None:
        self.budget = budget
        self._usual = budget
        self._gone = gone
        self._memory = memory or MemoryBudget(budget)
        self._size = 0
        self._lock = Lock()
        self._chunks: OrderedDict[ChunkId, Loaded] = OrderedDict()
        self._passed: OrderedDict[ChunkId, None] = OrderedDict()
        # How many of the chunks lie in each buffer, by its id(): the chunks keep it alive.
        self._pinned: dict[int, int] = {}

    def __contains__(self, id_: ChunkId) -> bool:
        return id_ in self._chunks

    @property
    def size(self) -> int:
        """Bytes of memory that the chunks pin: whole buffers, however little of them is used."""
        return self._size

    def get(self, id_: ChunkId, *, passing: bool = False) -> Loaded | None:
        """The chunk, if it is here. It counts as used, except by who is just `passing` through."""
        chunk = self._chunks.get(id_)
        if chunk is not None and not passing:
            with self._lock:
                self._use(id_)
        return chunk

    def put(self, id_: ChunkId, chunk: Loaded) -> None:
        """Keep a chunk, and let the oldest go."""
        with self._lock:
            if id_ in self._chunks:
                return
            self._chunks[id_] = chunk
            self._pin(chunk)
            while self._size > self.budget and len(self._chunks) > 1:
                self._evict(next(iter(self._passed), None) or next(iter(self._chunks)))

    def let_go(self, ids: Iterable[ChunkId]) -> None:
        """Nobody will ask for these chunks again: their memory is free for others."""
        with self._lock:
            for id_ in ids:
                if id_ in self._chunks:
                    self._evict(id_)

    def passed(self, ids: Iterable[ChunkId], *, alone: bool = False) -> None:
        """A stream has read these chunks: they go before any other; where it is `alone`, and no
        other may come by for them, at once while more is here than the first budget allows."""
        with self._lock:
            self._passed.update((id_, None) for id_ in ids if id_ in self._chunks)
            while alone and self._size > self._usual and self._passed:
                self._evict(next(iter(self._passed)))

    def shed(self, size: int) -> bool:
        """Let go of chunks that were passed, for `size` bytes of memory; whether that was enough.

        Who still has a view of one keeps its memory, and is not waited for.
        """
        with self._lock:
            goal = self._size - size
            while self._size > goal and self._passed:
                self._evict(next(iter(self._passed)))
            return self._size <= goal

    def _use(self, id_: ChunkId) -> None:
        self._passed.pop(id_, None)
        if id_ in self._chunks:  # it may have had to go meanwhile
            self._chunks.move_to_end(id_)

    def _evict(self, id_: ChunkId) -> None:
        self._passed.pop(id_, None)
        self._unpin(self._chunks.pop(id_))
        self._gone(id_)

    def _pin(self, chunk: Loaded) -> None:
        buffer = id(chunk.memory.obj)
        users = self._pinned.get(buffer, 0)
        self._pinned[buffer] = users + 1
        if not users:
            size = memoryview(chunk.memory.obj).nbytes
            self._size += size
            self._memory.charge(size)

    def _unpin(self, chunk: Loaded) -> None:
        buffer = id(chunk.memory.obj)
        users = self._pinned.pop(buffer)
        if users > 1:
            self._pinned[buffer] = users - 1
        else:
            size = memoryview(chunk.memory.obj).nbytes
            self._size -= size
            self._memory.give(size)
