"""Chunks that lie side by side in a pack, as one extent: one request, one buffer, one thread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ...errors import DataLostError
from ...ids import ChunkId
from ..index.index import Index
from ..index.records import Location, PackRecord
from ..packs.pool import SCRATCH, Pool

EXTENT: Final = SCRATCH
"""Longest extent, encoded or decoded bytes."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One chunk to load, and one of its places."""

    id: ChunkId
    place: Location
    pack: PackRecord


class Extents:
    """Says where chunks lie, by the index, and which of their places is well."""

    def __init__(self, index: Index, pool: Pool) -> None:
        self._index = index
        self._pool = pool

    def plan(self, ids: Sequence[ChunkId]) -> list[list[Placed]]:
        """Each chunk in its best place, those that follow on each other together.

        DataLostError where the index knows no place of one.
        """
        packs: dict[int, PackRecord | None] = {}
        extents: list[list[Placed]] = []
        stored = raw = 0
        for id_, places in zip(ids, self._index.locate(ids), strict=True):
            for place in places:
                if place.pack not in packs:
                    packs[place.pack] = self._index.pack(place.pack)
            chunk = self._best(id_, places, packs)
            last = extents[-1][-1] if extents else None
            joins = (
                last is not None
                and last.place.pack == chunk.place.pack
                and last.place.offset + last.place.stored == chunk.place.offset
                and stored + chunk.place.stored <= EXTENT
                and raw + chunk.place.raw <= EXTENT
            )
            if joins:
                extents[-1].append(chunk)
            else:
                extents.append([chunk])
                stored = raw = 0
            stored += chunk.place.stored
            raw += chunk.place.raw
        return extents

    def _best(
        self, id_: ChunkId, places: list[Location], packs: dict[int, PackRecord | None]
    ) -> Placed:
        known = [(place, pack) for place in places if (pack := packs[place.pack]) is not None]
        if not known:
            raise DataLostError(
                f"chunk {id_.hex()[:16]} is in no pack that the index knows; add the file again"
            )
        for place, pack in known:
            if self._pool.healthy(pack, place.offset, place.stored):
                return Placed(id_, place, pack)
        return Placed(id_, *known[0])

    def places(self, id_: ChunkId) -> list[Placed]:
        """Every place of a chunk."""
        known = ((place, self._index.pack(place.pack)) for place in self._index.locate([id_])[0])
        return [Placed(id_, place, pack) for place, pack in known if pack is not None]
