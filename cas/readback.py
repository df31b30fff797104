"""Files read back from the backends, to be sure of them before their sources are unlinked.

Every pack that holds something of a file is checked as verify does it: each shard read, parity too,
each block compared with the footers, each chunk decoded and compared with its id. Then the file is
put together from the backends once more, past the cache, and its BLAKE3 compared with the one that
its source had when it was read.

Memory: one pack with its parity, and an extent of chunks.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import trio
from blake3 import blake3

from ..errors import BackendError, DamageError, IndexDamagedError, one_failure
from ..ids import ChunkId, ObjectId, PackNumber
from .check import Checker
from .formats.chunktable import Kind
from .known import Known
from .loader import EXTENT, Loader
from .recipe import ChunkSpan, Recipe
from .reports import Progress, VerifyReport
from .request import Reading
from .throttle import Throttle

SLOTS: Final = 4


class ReadBack:
    """Reads back what an add has stored; each pack is checked once, however many files need it."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._known = Known(reading.index, reading.pool, reading.scheme)
        self._loader = Loader(reading.index, reading.pool, slots=SLOTS)
        self._report = VerifyReport()
        self._checker = Checker(
            reading.index, reading.pool, self._report, Progress(), Throttle(None), None
        )
        # What was found of packs: "" of one that is whole.
        self._packs: dict[PackNumber, str] = {}

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
        objects = self._reading.objects
        manifest = await trio.to_thread.run_sync(objects.manifest, id_)
        pages = [ChunkId(page.id) for page in manifest.pages]
        if problem := await self._check_chunks([ChunkId(id_), *pages], Kind.OBJECT):
            return problem
        hasher, spans = blake3(), _extents(objects.recipe(manifest))
        while extent := await trio.to_thread.run_sync(next, spans, None):
            ids = list(dict.fromkeys(span.id for span in extent))
            if problem := await self._check_chunks(ids, Kind.DATA):
                return problem
            loaded = await self._loader.load(ids)
            for span in extent:
                await trio.to_thread.run_sync(hasher.update, loaded[span.id].data)
        same = hasher.digest() == manifest.blake3
        return "" if same else "what was stored is not what was read; add the file again"

    async def _check_chunks(self, ids: Sequence[ChunkId], kind: Kind) -> str:
        places = await trio.to_thread.run_sync(self._known.chunks, ids, kind)
        for place in places:
            if place is None:
                return (
                    "not all of it is protected as it should be; run `modelfloat verify --repair`"
                )
            if problem := await self._check_pack(place.pack):
                return problem
        return ""

    async def _check_pack(self, number: PackNumber) -> str:
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


def _extents(recipe: Recipe) -> Iterator[list[ChunkSpan]]:
    """A file's chunks in order, as many at a time as are loaded at once."""
    extent: list[ChunkSpan] = []
    size = 0
    for span in recipe.all():
        if extent and size + span.raw > EXTENT:
            yield extent
            extent, size = [], 0
        extent.append(span)
        size += span.raw
    if extent:
        yield extent
