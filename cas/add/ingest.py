"""From chunks to packs: look up what is stored, encode what is new, hand it to the packer.

What large files (`largefiles`) and small ones (`smallfiles`) have in common. Everything but the
bookkeeping runs in worker threads.
"""

import os
from collections.abc import Sequence

import trio

from ...ids import ChunkId
from ..chunking.regions import ElementType
from ..formats.chunktable import Kind
from ..packer import LaneName, Packer
from ..packs.builder import NewChunk
from ..packs.encoding import Cut, encode_chunks, shares
from ..progress import Progress
from .known import Known
from .newobjects import NewObjects
from .report import AddReport
from .request import AddRequest, Reading
from .siblings import Folders
from .unchanged import Unchanged

Part = tuple[ChunkId, memoryview, ElementType]
"""A chunk as it was cut: its id, its bytes, what they consist of."""


class Ingest:
    """Stores chunks and objects of one add. `report` counts what is new and what was there."""

    def __init__(
        self,
        reading: Reading,
        request: AddRequest,
        packer: Packer,
        unchanged: Unchanged,
        report: AddReport,
        progress: Progress,
    ) -> None:
        self.request = request
        self.unchanged = unchanged
        self.report = report
        self.progress = progress
        self.folders = Folders()
        self.cores = max(2, os.cpu_count() or 1)
        self.cpus = trio.CapacityLimiter(self.cores)
        self._known = Known(reading)
        self._first = reading.index.next_pack
        self.objects = reading.index.objects
        self.ids = reading.index.ids
        self._packer = packer
        self._new_objects = NewObjects(self._known, packer, self.ids, self.cpus)

    async def claim(self, parts: Sequence[Part]) -> list[Cut]:
        """The new ones among chunks: whoever claims a chunk must encode and pack it.

        What is pending now may be stored, and pending no more, when the index has been asked.
        """
        pending = self._packer.pending[Kind.DATA]
        theirs = {id_ for id_, _, _ in parts if id_ in pending}
        cuts = await trio.to_thread.run_sync(self._look_up, parts, limiter=self.cpus)
        return [cut for cut in cuts if self._is_new(cut, theirs)]

    def _look_up(self, parts: Sequence[Part]) -> list[Cut]:
        places = self._known.chunks([id_ for id_, _, _ in parts], Kind.DATA)
        return [
            Cut(id_, data, element, place)
            for (id_, data, element), place in zip(parts, places, strict=True)
        ]

    def _is_new(self, cut: Cut, theirs: set[ChunkId]) -> bool:
        """Count a chunk; one that nobody has is pending from now on."""
        size, pending = len(cut.data), self._packer.pending[Kind.DATA]
        self.report.logical += size
        if cut.place is None and cut.id not in theirs and cut.id not in pending:
            pending.add(cut.id)
            self.report.new += size
            return True
        self.report.deduplicated += size
        if cut.place is not None and cut.place.pack < self._first:
            self.report.already += size
        return False

    async def encode(self, new: Sequence[Cut]) -> list[NewChunk]:
        """Chunks encoded, in their order, by as many threads at once as there are cores.

        Each keeps its scratch, a few MiB and at effort `small` 12 MiB more (`zstd.SMALL_LEVEL`).
        """
        parts = shares(new, self.cores)
        done: list[list[NewChunk]] = [[]] * len(parts)

        async def work(number: int) -> None:
            done[number] = await trio.to_thread.run_sync(
                encode_chunks, parts[number], self.request.effort, limiter=self.cpus
            )

        async with trio.open_nursery() as nursery:
            for number in range(len(parts)):
                nursery.start_soon(work, number)
        return [chunk for part in done for chunk in part]

    async def pack(self, lane: LaneName, chunks: Sequence[NewChunk]) -> None:
        """Hand encoded chunks to the packer; when this returns they were copied."""
        await self._packer.put(lane, chunks)

    async def store(self, parts: Sequence[Part], lane: LaneName) -> None:
        """Claim the new ones among chunks, encode them and hand them to the packer."""
        if new := await self.claim(parts):
            await self.pack(lane, await self.encode(new))

    async def put_objects(self, objects: Sequence[bytes]) -> None:
        """Store what of `objects` is not stored yet."""
        await self._new_objects.put(objects)
