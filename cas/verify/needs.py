"""What is needed of packs that are lost: which files cannot be read any more, and what is at risk.

Everything that refs reach is looked up: each chunk and each object must have a place in a pack
that is not lost, or be among the chunks that can still be had of a lost one. A file's region table
must cover it.

Memory: a batch of ids, a part of a region table, the numbers of lost packs, and what is wrong.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from ...errors import ChunkDamagedError, ModelFloatError
from ...ids import ChunkId, ObjectId, PackId, PackNumber
from ..index.index import Index
from ..index.records import Location
from ..objects import Objects
from .checkorder import LOOKUP, batches, chunk_ids
from .reach import Reached
from .refetching import Refetcher
from .report import Problem, VerifyReport
from .rescue import Rescuer

ITEMS: Final = 256
"""Files and directories that are looked at in one go."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A pack that not enough is left of: `bad` are the slots of chunks that cannot be had.

    `problems` are those of its shards. `returns` says that backends which are down hold some.
    """

    pack: PackId
    bad: frozenset[int]
    problems: list[Problem]
    returns: bool


@dataclass(slots=True)
class Verdicts:
    """Packs that this check found lost."""

    lost: dict[PackNumber, Lost] = field(default_factory=dict)


@dataclass(slots=True)
class _Wanted:
    """A file, and its chunks that no pack has, with the lost places of each."""

    item: Reached
    chunks: dict[ChunkId, list[Location]] = field(default_factory=dict)


class Needs:
    """Looks things up, and settles what is to be said of lost packs.

    With a `rescuer`, objects that only the index's mirror has are stored again; with a
    `refetcher`, chunks that their files' sources have.
    """

    def __init__(
        self,
        index: Index,
        objects: Objects,
        verdicts: Verdicts,
        report: VerifyReport,
        rescuer: Rescuer | None,
        refetcher: Refetcher | None = None,
    ) -> None:
        self._index = index
        self._objects = objects
        self._verdicts = verdicts
        self._report = report
        self._rescuer = rescuer
        self._refetcher = refetcher
        self._wanted: dict[str, _Wanted] = {}
        self._refetched: set[ChunkId] = set()
        self._needed: set[PackNumber] = set()
        self._at_risk: set[PackNumber] = set()
        self._mirrored: set[ObjectId] = set()
        self._absent = 0
        self._misfits: set[ObjectId] = set()
        self._last_lost = ""

    async def look(self, items: Iterable[Reached]) -> None:
        """Look up everything that `items` are made of."""
        left = iter(items)
        while await trio.to_thread.run_sync(self._some, left):
            await self._rescue()
            await self._refetch()

    def _some(self, items: Iterable[Reached]) -> bool:
        some = list(islice(items, ITEMS))
        self._absent += sum(item.broken for item in some)
        self._misfits.update(item.objects[0] for item in some if not self._table_fits(item))
        for batch in batches(self._readable(some), LOOKUP):
            known: dict[PackNumber, bool] = {}
            found = self._index.locate([id_ for _, id_ in batch])
            for (item, id_), places in zip(batch, found, strict=True):
                if not any(self._is_sound(place, known) for place in places):
                    self._miss(item, id_, places)
        return bool(some)

    def _table_fits(self, item: Reached) -> bool:
        """Whether a file's region table covers it; where it cannot be read that is told as such."""
        if item.manifest is None:
            return True
        try:
            for _ in self._objects.regions(item.manifest):
                pass
        except ChunkDamagedError:
            return not all(self._is_mirrored(page.id) for page in item.manifest.region_pages)
        except ModelFloatError:
            return True
        return True

    def _readable(self, items: Iterable[Reached]) -> Iterator[tuple[Reached, ChunkId]]:
        for item in items:
            try:
                yield from chunk_ids(self._objects, [item])
            except ModelFloatError:
                self._absent += 1  # a page of its manifest

    def _is_sound(self, place: Location, known: dict[PackNumber, bool]) -> bool:
        if place.pack not in known:
            there = place.pack not in self._verdicts.lost
            known[place.pack] = there and self._index.pack(place.pack) is not None
        return known[place.pack]

    def _miss(self, item: Reached, id_: ChunkId, places: list[Location]) -> None:
        """A chunk or object that is in no pack that is well."""
        lost = [place for place in places if place.pack in self._verdicts.lost]
        can_be_had = {p.pack for p in lost if p.slot not in self._verdicts.lost[p.pack].bad}
        object_ = ObjectId(id_)
        if can_be_had:
            self._at_risk |= can_be_had
        elif object_ in item.objects and self._is_mirrored(object_):
            self._at_risk |= {place.pack for place in lost}
            if not any(self._verdicts.lost[place.pack].returns for place in lost):
                self._mirrored.add(object_)
        elif self._is_elsewhere(item, object_, lost):
            self._wanted.setdefault(item.name, _Wanted(item)).chunks[id_] = lost
        else:
            self._lose(item, lost)

    def _lose(self, item: Reached, lost: Iterable[Location]) -> None:
        self._needed |= {place.pack for place in lost}
        if item.name != self._last_lost:
            self._report.lose(item.name)
            known = item.manifest is not None and bool(item.manifest.sources)
            self._report.elsewhere += known and self._rescuer is None
        self._last_lost = item.name

    def _is_elsewhere(self, item: Reached, id_: ObjectId, lost: list[Location]) -> bool:
        """Whether a chunk may be had where its file came from, and does not come back by itself."""
        known = item.manifest is not None and bool(item.manifest.sources)
        returns = any(self._verdicts.lost[place.pack].returns for place in lost)
        return self._refetcher is not None and known and id_ not in item.objects and not returns

    def _is_mirrored(self, id_: ObjectId) -> bool:
        data = self._index.object(id_)
        return data is not None and self._index.ids.fits(id_, data)

    async def _rescue(self) -> None:
        if self._rescuer is None or not self._mirrored:
            return
        await self._rescuer.objects(sorted(self._mirrored))
        self._report.rescued += len(self._mirrored)
        self._mirrored.clear()

    async def _refetch(self) -> None:
        """Have again what is elsewhere; what is not, is lost."""
        wanted, self._wanted = self._wanted, {}
        for each in wanted.values():
            manifest = each.item.manifest
            if self._refetcher is None or manifest is None:
                continue
            chunks = {
                id_: self._index.pack(places[0].pack) if places else None
                for id_, places in each.chunks.items()
                if id_ not in self._refetched
            }
            done = await self._refetcher.file(manifest, chunks)
            self._refetched |= done
            self._report.refetched += len(done)
            for id_ in chunks.keys() - done:
                self._lose(each.item, each.chunks[id_])

    def settle(self) -> None:
        """Say what is to be said: what is lost, what is at risk, what nothing needs any more."""
        if self._mirrored:
            problem = f"objects that only the index has: {len(self._mirrored):,}"
            self._report.note(Problem("", 0, "", problem, False, "index"))
        if self._absent:
            problem = f"objects missing or damaged in the index: {self._absent:,}"
            self._report.note(Problem("", 0, "", problem, False, "index"))
        if self._misfits:
            problem = (
                f"region tables that do not fit their files: {len(self._misfits):,}; add these "
                "again with --reread"
            )
            self._report.note(Problem("", 0, "", problem, False, "index"))
        for number, lost in sorted(self._verdicts.lost.items()):
            if number in self._needed:
                self._report.lost.append(lost.pack.hex())
            elif not (self._is_wanted(number) or lost.returns or self._absent):
                self._report.unneeded.append(lost.pack.hex())
                continue
            for problem_ in lost.problems:
                self._report.note(problem_)

    def _is_wanted(self, number: PackNumber) -> bool:
        """Whether something that can still be had is in no other pack, and was not rescued."""
        return number in self._at_risk and self._rescuer is None
