"""Verified chunks in memory: least recently used go first, bounded by bytes.

Concurrency: used in the event loop only. A view that was handed out stays valid when its chunk is
evicted; its buffer is recycled when the last view is gone.
"""

from collections import OrderedDict

from ..ids import ChunkId


class ChunkCache:
    """Raw bytes of chunks by id, at most `budget` bytes of them."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._size = 0
        self._chunks: OrderedDict[ChunkId, memoryview] = OrderedDict()

    def __contains__(self, id_: ChunkId) -> bool:
        return id_ in self._chunks

    def get(self, id_: ChunkId) -> memoryview | None:
        """The chunk's bytes, if they are here; it counts as used."""
        data = self._chunks.get(id_)
        if data is not None:
            self._chunks.move_to_end(id_)
        return data

    def put(self, id_: ChunkId, data: memoryview) -> None:
        """Keep a chunk, and let the oldest go."""
        if id_ in self._chunks:
            return
        self._chunks[id_] = data
        self._size += len(data)
        while self._size > self._budget and len(self._chunks) > 1:
            _, old = self._chunks.popitem(last=False)
            self._size -= len(old)
