"""What is stored already, well enough for an add to rely on it.

Synchronous; runs in worker threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ...ids import ChunkId, ObjectId, PackNumber
from ..formats.chunktable import Kind
from ..index.records import Location, PackRecord
from .request import Reading


class Known:
    """Chunks and objects that need not be stored again: in a pack that is healthy and at least as
    protected as an add wants them to be. That they are relied on is noted, and nothing is that may
    not be."""

    def __init__(self, reading: Reading) -> None:
        self._index = reading.index
        self._pool = reading.pool
        self._least = {Kind.DATA: reading.scheme.m, Kind.OBJECT: reading.copies}
        self._reliance = reading.reliance

    def chunks(self, ids: Sequence[ChunkId], kind: Kind) -> list[Location | None]:
        """For each chunk the place that may be relied on, None where there is none.

        The packs are looked up once a call: many chunks at once lie in few packs.
        """
        packs: dict[PackNumber, _Pack] = {}
        return [self._place(places, kind, packs) for places in self._index.locate(ids)]

    def _place(
        self, places: list[Location], kind: Kind, packs: dict[PackNumber, "_Pack"]
    ) -> Location | None:
        for place in places:
            pack = packs.get(place.pack)
            if pack is None:
                pack = packs[place.pack] = self._pack(place.pack)
            if place.kind is not kind or pack.record is None:
                continue
            if pack.intact or self._pool.healthy(pack.record, place.offset, place.stored):
                self._reliance.relied.add(pack.record.id)
                return place
        return None

    def _pack(self, number: PackNumber) -> "_Pack":
        record = self._index.pack(number)
        if record is None or record.m < self._least[record.kind]:
            return _Pack(None, intact=False)
        if record.id in self._reliance.condemned:
            return _Pack(None, intact=False)
        return _Pack(record, all(self._pool.usable(record, i) for i in range(record.n)))

    def missing_objects(self, ids: Sequence[ObjectId]) -> list[ObjectId]:
        """Those of `ids` that are not in a pack, or not in the index's mirror."""
        places = self.chunks([ChunkId(id_) for id_ in ids], Kind.OBJECT)
        packed = [id_ for id_, place in zip(ids, places, strict=True) if place is not None]
        mirrored = zip(packed, self._index.objects(packed), strict=True)
        there = {id_ for id_, data in mirrored if data is not None}
        return [id_ for id_ in ids if id_ not in there]


@dataclass(frozen=True, slots=True)
class _Pack:
    """A pack that may be relied on as far as its shards are; of an `intact` one all are."""

    record: PackRecord | None
    intact: bool
