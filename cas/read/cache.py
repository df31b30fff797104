"""Verified chunks in memory: least recently used go first, bounded by the memory they pin.

A chunk keeps all of the buffer that it lies in, with the chunks that were loaded together with it;
so what is counted are the buffers, each once, for as long as a chunk in it is kept.

Concurrency: used in the event loop; any thread may `get`, the interpreter's lock keeps each single
call on the table whole. Memory that was handed out stays valid when its chunk is
evicted; its buffer is recycled when the last view is gone.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ...ids import ChunkId


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

    `gone` hears of each chunk that had to go.
    """

    def __init__(self, budget: int, gone: Callable[[ChunkId], None] = lambda _id: None) -> None:
        self.budget = budget
        self._gone = gone
        self._size = 0
        self._chunks: OrderedDict[ChunkId, Loaded] = OrderedDict()
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
            with contextlib.suppress(KeyError):  # the event loop may have let it go meanwhile
                self._chunks.move_to_end(id_)
        return chunk

    def put(self, id_: ChunkId, chunk: Loaded) -> None:
        """Keep a chunk, and let the oldest go."""
        if id_ in self._chunks:
            return
        self._chunks[id_] = chunk
        self._pin(chunk)
        while self._size > self.budget and len(self._chunks) > 1:
            gone, old = self._chunks.popitem(last=False)
            self._unpin(old)
            self._gone(gone)

    def _pin(self, chunk: Loaded) -> None:
        buffer = id(chunk.memory.obj)
        users = self._pinned.get(buffer, 0)
        self._pinned[buffer] = users + 1
        if not users:
            self._size += memoryview(chunk.memory.obj).nbytes

    def _unpin(self, chunk: Loaded) -> None:
        buffer = id(chunk.memory.obj)
        users = self._pinned.pop(buffer)
        if users > 1:
            self._pinned[buffer] = users - 1
        else:
            self._size -= memoryview(chunk.memory.obj).nbytes
