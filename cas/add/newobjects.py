"""Objects on their way into packs: each is stored once, and what is stored already is not."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from ...ids import ChunkId, ObjectId
from ..formats.chunkids import ChunkIds
from ..formats.chunktable import Kind
from ..packer import Packer
from ..packs.encoding import encode_objects
from .known import Known

PutObjects = Callable[[Sequence[bytes]], Awaitable[None]]
"""Stores objects; they are durable after the flush that follows."""
GROUP: Final = 4 << 20
"""Bytes of objects that are stored at a time."""


class NewObjects:
    """Hands what is not stored yet to a packer; `ids` names objects, `cpus` bounds threads."""

    def __init__(
        self, known: Known, packer: Packer, ids: ChunkIds, cpus: trio.CapacityLimiter | None = None
    ) -> None:
        self._known = known
        self._packer = packer
        self._ids = ids
        self._cpus = cpus

    async def put(self, objects: Sequence[bytes]) -> None:
        """Store what of `objects` is not stored yet."""
        by_id, missing = await trio.to_thread.run_sync(self._missing, objects, limiter=self._cpus)
        pending = self._packer.pending[Kind.OBJECT]
        new = [id_ for id_ in missing if ChunkId(id_) not in pending]
        if not new:
            return
        pending.update(ChunkId(id_) for id_ in new)
        found = {id_: by_id[id_] for id_ in new}
        chunks = await trio.to_thread.run_sync(encode_objects, found, limiter=self._cpus)
        await self._packer.put_objects(chunks, found)

    def _missing(self, objects: Sequence[bytes]) -> tuple[dict[ObjectId, bytes], list[ObjectId]]:
        by_id = {self._ids.object(data): data for data in objects}
        return by_id, self._known.missing_objects(list(by_id))


class Group:
    """Objects made in a worker thread, handed to the event loop some at a time."""

    def __init__(self, put_objects: PutObjects) -> None:
        self._put_objects = put_objects
        self._objects: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """Take one in."""
        self._objects.append(data)
        self._size += len(data)
        if self._size >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Have those stored that were taken in."""
        if self._objects:
            trio.from_thread.run(self._put_objects, self._objects)
        self._objects, self._size = [], 0
