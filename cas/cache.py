"""Verified chunks in memory: least recently used go first, bounded by bytes.

Concurrency: used in the event loop only. Memory that was handed out stays valid when its chunk is
evicted; its buffer is recycled when the last view is gone.
"""

from collections import OrderedDict
from dataclasses import dataclass

from ..ids import ChunkId


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
    """Chunks by id, at most `budget` bytes of them."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._size = 0
        self._chunks: OrderedDict[ChunkId, Loaded] = OrderedDict()

    def __contains__(self, id_: ChunkId) -> bool:
        return id_ in self._chunks

    def get(self, id_: ChunkId) -> Loaded | None:
        """The chunk, if it is here; it counts as used."""
        chunk = self._chunks.get(id_)
        if chunk is not None:
            self._chunks.move_to_end(id_)
        return chunk

    def put(self, id_: ChunkId, chunk: Loaded) -> None:
        """Keep a chunk, and let the oldest go."""
        if id_ in self._chunks:
            return
        self._chunks[id_] = chunk
        self._size += chunk.size
        while self._size > self._budget and len(self._chunks) > 1:
            _, old = self._chunks.popitem(last=False)
            self._size -= old.size
