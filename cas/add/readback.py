"""Files read back from the backends, to be sure of them before their sources are unlinked.

Every pack that holds something of a file is checked as verify does it: each shard read, parity too,
each block compared with the footers, each chunk decoded and compared with its id. Then the file is
put together from the backends once more, past the cache, and its BLAKE3 compared with the one that
its source had when it was read.

Memory: one pack with its parity, and an extent of chunks for each file that is read at once.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import trio
from blake3 import blake3

from ...errors import BackendError, DamageError, IndexDamagedError, one_failure
from ...ids import ChunkId, ObjectId, PackNumber
from ..formats.chunktable import Kind
from ..formats.manifest import Manifest, decode_entries
from ..index.records import Location
from ..progress import Progress
from ..read.budget import MemoryBudget
from ..read.cache import Loaded
from ..read.extents import EXTENT
from ..read.loader import Loader
from ..read.memorylimit import default_limit
from ..read.recipe import ChunkSpan, extents
from ..verify.check import Checker
from ..verify.report import VerifyReport
from ..verify.throttle import Throttle
from .known import Known
from .request import Reading

SLOTS: Final = 4
AT_ONCE: Final = 64 << 10
"""Bytes that are hashed without a thread: it would take longer to wake one."""


class ReadBack:
    """Reads back what an add has stored; each pack is checked once, however many files need it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._known = Known(reading)
        budget = MemoryBudget(default_limit())
        self._loader = Loader(reading.index, reading.pool, budget, slots=SLOTS)
        self._report = VerifyReport()
        self._checker = Checker(
            reading.index, reading.pool, self._report, Progress(), Throttle(None), None
        )
        # What was found of packs: "" of one that is whole.
        self._packs: dict[PackNumber, str] = {}
        # One pack at a time is in memory, and none is checked twice.
        self._one = trio.Lock()

    async def new_packs(self, first: PackNumber) -> str:
        """Check every pack from number `first` on; what is wrong with one, "" if nothing is."""
        packs = await trio.to_thread.run_sync(
            lambda: [pack.number for pack in self._reading.index.packs() if pack.number >= first]
        )
        for number in packs:
            if problem := await self._check_pack(number):
                return problem
        return ""

    async def file(self, manifest: ObjectId) -> str:
        """Read one file back; what is wrong with it, "" if nothing is."""
        try:
            with one_failure():
                return await self._file(manifest)
        except (DamageError, BackendError, IndexDamagedError) as error:
            return str(error)

    async def _file(self, id_: ObjectId) -> str:
        manifest, places, spans = await trio.to_thread.run_sync(self._look_up, id_)
        if problem := await self._check_places(places):
            return problem
        hasher = blake3()
        # A short file is put together in few threads: waking one takes longer than the work.
        extents = spans if manifest.pages else iter(list(spans))
        while extent := await self._next(extents, threaded=bool(manifest.pages)):
            ids = list(dict.fromkeys(span.id for span in extent))
            if manifest.pages:
                found = await trio.to_thread.run_sync(self._known.chunks, ids, Kind.DATA)
                if problem := await self._check_places(found):
                    return problem
            loaded = await self._loader.load(ids)
            if sum(span.raw for span in extent) <= AT_ONCE:
                _hash(hasher, extent, loaded)
            else:
                await trio.to_thread.run_sync(_hash, hasher, extent, loaded)
        same = hasher.digest() == manifest.blake3
        return "" if same else "what was stored is not what was read; add the file again"

    def _look_up(
        self, id_: ObjectId
    ) -> tuple[Manifest, list[Location | None], Iterator[list[ChunkSpan]]]:
        """A manifest, its chunks, and where its objects lie, and the chunks where they are few."""
        manifest = self._reading.objects.manifest(id_)
        objects = [ChunkId(id_), *map(ChunkId, manifest.objects)]
        places = self._known.chunks(objects, Kind.OBJECT)
        if not manifest.pages:
            ids = list({ref.id for ref in decode_entries(manifest.inline)})
            places += self._known.chunks(ids, Kind.DATA)
        return manifest, places, extents(self._reading.objects.recipe(manifest).all(), EXTENT)

    @staticmethod
    async def _next(
        extents: Iterator[list[ChunkSpan]], *, threaded: bool
    ) -> list[ChunkSpan] | None:
        if threaded:
            return await trio.to_thread.run_sync(next, extents, None)
        return next(extents, None)

    async def _check_places(self, places: Sequence[Location | None]) -> str:
        for place in places:
            if place is None:
                return "a part of it is not protected enough; run `modelfloat verify --repair`"
            if problem := await self._check_pack(place.pack):
                return problem
        return ""

    async def _check_pack(self, number: PackNumber) -> str:
        if number not in self._packs:
            async with self._one:
                if number not in self._packs:
                    self._packs[number] = await self._find_problem(number)
        return self._packs[number]

    async def _find_problem(self, number: PackNumber) -> str:
        pack = await trio.to_thread.run_sync(self._reading.index.pack, number)
        if pack is None:
            return "a pack of it was deleted; add the file again"
        self._report.problems.clear()
        await self._checker.check(pack)
        for found in [*self._report.problems, *self._checker.problems_of(number)]:
            return (
                f"shard {found.index} of pack {found.pack[:16]} on {found.backend or 'no backend'} "
                f"is not as it should be ({found.problem}); run `modelfloat verify --repair`"
            )
        lost = number in self._checker.verdicts.lost
        return f"pack {pack.id.hex()[:16]} is lost; add the file again" if lost else ""


def _hash(hasher: blake3, extent: list[ChunkSpan], loaded: dict[ChunkId, Loaded]) -> None:
    for span in extent:
        hasher.update(loaded[span.id].data)
