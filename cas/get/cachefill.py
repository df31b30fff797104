"""One file filled into the disk cache: what is missing is loaded, each chunk once, and written.

Several extents are on their way at once. Places of a chunk that the file has elsewhere too are
filled afterwards, from the disk cache itself.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import trio

from ...errors import ModelFloatError
from ...ids import ChunkId
from ..formats.manifest import Manifest
from ..progress import Progress
from ..read.cache import Loaded
from ..read.diskfiles import DiskFile, DiskFiles
from ..read.extents import EXTENT
from ..read.recipe import ChunkSpan, extents

if TYPE_CHECKING:
    from ..store import Store

LOADS: Final = 8
"""Extents on their way at once: 32 MiB, what 50 ms and 600 MB/s have in flight."""
PLACES: Final = 1 << 16
"""Chunks of a file, from its beginning on, of which it is known where they are: some 20 MB of
memory. One that is repeated and is not among them is loaded again."""


class CacheFill:
    """One file on its way into the cache: its `file` there; `fetched` bytes were loaded."""

    def __init__(
        self, store: "Store", disk: DiskFiles, manifest: Manifest, progress: Progress
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._progress = progress
        self._places: dict[ChunkId, ChunkSpan] = {}
        self.file = disk.open(manifest)
        self.fetched = 0

    async def run(self) -> None:
        """Load what is missing, then have all of it read back and sealed."""
        file = self.file
        if file is None:  # an empty one
            return
        await file.prepare()
        waiting = extents(self._lacking(file), EXTENT)
        async with trio.open_nursery() as nursery:
            for _ in range(LOADS):
                nursery.start_soon(self._fill, file, waiting)
        await self._repeat(file)
        if not await file.finish():
            raise not_whole()

    async def _fill(self, file: DiskFile, waiting: Iterator[list[ChunkSpan]]) -> None:
        for spans in waiting:
            size = sum(span.raw for span in spans)
            self._store.budget.charge(size)
            try:
                await self._keep(file, spans, await self._load(spans))
            finally:
                self._store.budget.give(size)

    async def _load(self, spans: list[ChunkSpan]) -> dict[ChunkId, Loaded]:
        chunks = await self._store.loader.load([span.id for span in spans], sequential=True)
        self.fetched += sum(span.raw for span in spans)
        return chunks

    async def _keep(
        self, file: DiskFile, spans: list[ChunkSpan], chunks: dict[ChunkId, Loaded]
    ) -> None:
        if not await file.keep(spans, chunks):
            raise not_whole()
        self._progress.advance(sum(span.raw for span in spans))

    async def _repeat(self, file: DiskFile) -> None:
        """Fill the places of chunks that are there in another one."""
        chunks: dict[ChunkId, Loaded] = {}
        for span in self._spans():
            if file.has(span):
                continue
            if span.id not in chunks:
                place = self._places.get(span.id)
                chunks = await file.read([place]) if place is not None else {}
                chunks = chunks or await self._load([span])
            await self._keep(file, [span], chunks)

    def _lacking(self, file: DiskFile) -> Iterator[ChunkSpan]:
        """Chunks that are neither there nor have come by already."""
        for span in self._spans():
            if file.has(span):
                self._progress.advance(span.raw)
            elif span.id not in self._places:
                yield span
            if len(self._places) < PLACES:
                self._places.setdefault(span.id, span)

    def _spans(self) -> Iterator[ChunkSpan]:
        return self._store.objects.recipe(self._manifest).all()


def not_whole() -> ModelFloatError:
    """The failure of a file that is not whole in the cache when all was done."""
    return ModelFloatError(
        "it is not whole in the disk cache, which is full or fails; `modelfloat doctor` says more"
    )
