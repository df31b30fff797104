"""Objects from one store to another: as they are, or with the ids that the other one names by.

Objects come children first, so what one names has its id there when it comes. Whether each is there
is asked of the index; an id that is known says nothing of that.

Synchronous, for worker threads; `put` is called with some objects at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ...ids import ObjectId
from ..add.known import Known
from ..formats.chunkids import ChunkIds
from ..formats.renaming import named, renamed
from ..objects import Objects
from .counterparts import Counterparts

GROUP: Final = 4 << 20
"""Bytes of objects that are stored at a time."""
BATCH: Final = 1024
"""Objects that are looked up together."""
_ID: Final = 32

Put = Callable[[Sequence[bytes]], None]


class StrangerError(Exception):
    """An object names what has no known id in the other store, though it was sent: what is known
    of ids there is incomplete, and all of it is to be found out anew.

    It never reaches a user.
    """


class Renaming:
    """Carries objects of a store to one that names them by `ids`."""

    def __init__(
        self, objects: Objects, known: Known, ids: ChunkIds, counterparts: Counterparts, put: Put
    ) -> None:
        self._objects = objects
        self._known = known
        self._ids = ids
        self._counterparts = counterparts
        self._put = put

    def carry(self, packed: bytes) -> int:
        """Carry objects by their ids, end to end as `Walked` has them; how many were not there."""
        count = size = 0
        group: list[bytes] = []
        for data in self._lacking(packed):
            group.append(data)
            count, size = count + 1, size + len(data)
            if size >= GROUP:
                self._put(group)
                group, size = [], 0
        if group:
            self._put(group)
        return count

    def _lacking(self, packed: bytes) -> Iterator[bytes]:
        """What is to be stored there, children first."""
        for end in range(len(packed), 0, -_ID * BATCH):
            part = packed[max(0, end - _ID * BATCH) : end]
            ids = [ObjectId(part[at - _ID : at]) for at in range(len(part), 0, -_ID)]
            yield from self._batch(list(dict.fromkeys(ids)))

    def _batch(self, ids: Sequence[ObjectId]) -> Iterator[bytes]:
        theirs = self._counterparts.find(ids)
        told = [ObjectId(id_) for id_ in theirs if id_ is not None]
        missing = set(self._known.missing_objects(told))
        fresh: dict[bytes, bytes] = {}
        for id_, their in zip(ids, theirs, strict=True):
            if their is None or their in missing:
                data = self._objects.raw(id_)
                if not self._counterparts.same:
                    data = self._renamed(data, fresh)
                    fresh[id_] = self._ids.object(data)
                yield data
        self._counterparts.note(fresh.items())

    def _renamed(self, data: bytes, fresh: dict[bytes, bytes]) -> bytes:
        ids = [id_ for id_ in dict.fromkeys(named(data)) if id_ not in fresh]
        found = dict(zip(ids, self._counterparts.find(ids), strict=True))

        def rename(id_: bytes) -> bytes:
            new = fresh.get(id_) or found.get(id_)
            if new is None:
                raise StrangerError(f"{id_.hex()[:16]} is not known in the other store")
            return new

        return renamed(data, rename)
