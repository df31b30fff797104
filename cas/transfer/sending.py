"""Chunks from one store into packs of another: looked up, read, put.

While one window is read, the one before is packed, and the next is looked up. Nothing is asked for
twice: what is on its way is remembered until it is in a pack, what is in an open pack until the
index has it.

Memory: three windows of chunks, encoded, and what one add takes.
"""

from collections.abc import Sequence
from typing import Final

import trio

from ...ids import ChunkId
from ..formats.chunktable import Kind
from ..formats.manifest import ChunkRef
from ..packer import LaneName, Packer
from ..packs.builder import NewChunk
from ..progress import Progress
from ..read.recipe import extents
from .counterparts import Counterparts
from .frames import Frames
from .report import TransferReport
from .selection import Selected, Selection

WINDOW: Final = 16 << 20
"""Bytes of chunks, raw, that are read at once."""

_Read = tuple[Sequence[ChunkRef], dict[ChunkId, NewChunk]]


class Sending:
    """Sends chunks; its tasks run in `nursery` until it is closed."""

    def __init__(
        self,
        frames: Frames,
        selection: Selection,
        counterparts: Counterparts,
        packer: Packer,
        report: TransferReport,
        progress: Progress,
    ) -> None:
        self._frames = frames
        self._selection = selection
        self._counterparts = counterparts
        self._packer = packer
        self._report = report
        self._progress = progress
        self._on_its_way: set[ChunkId] = set()
        self._idle = trio.Event()
        self._windows, self._to_read = trio.open_memory_channel[Sequence[ChunkRef]](0)
        self._read, self._to_put = trio.open_memory_channel[_Read](0)

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to read and to pack what is sent."""
        nursery.start_soon(self._reader)
        nursery.start_soon(self._putter)

    def close(self) -> None:
        """No more chunks: the tasks end."""
        self._windows.close()

    async def send(self, refs: Sequence[ChunkRef]) -> None:
        """Send those of chunks that are not there; they are on their way when this returns."""
        named = await trio.to_thread.run_sync(self._selection.named, refs)
        packing = self._packer.pending[Kind.DATA]
        # What is pending now may be stored, and pending no more, when the index was asked.
        pending = {id_ for id_ in named.theirs if id_ is not None and id_ in packing}
        lacking = await trio.to_thread.run_sync(self._selection.lacking, named)
        for window in extents(self._unclaimed(lacking, pending), WINDOW):
            await self._windows.send(window)

    def _unclaimed(self, lacking: Selected, pending: set[ChunkId]) -> list[ChunkRef]:
        packing, found = self._packer.pending[Kind.DATA], []
        for ref, id_ in zip(lacking.refs, lacking.theirs, strict=True):
            taken = id_ is not None and (id_ in pending or id_ in packing)
            if not taken and ref.id not in self._on_its_way:
                self._on_its_way.add(ref.id)
                found.append(ref)
        return found

    async def drain(self) -> None:
        """Return when everything that was sent is in a pack, and its id there is known."""
        while self._on_its_way:
            self._idle = trio.Event()
            await self._idle.wait()

    async def _reader(self) -> None:
        async with self._to_read, self._read:
            async for window in self._to_read:
                found = await self._frames.load([ref.id for ref in window])
                await self._read.send((window, found))

    async def _putter(self) -> None:
        async with self._to_put:
            async for window, found in self._to_put:
                await self._put(window, found)
                self._on_its_way.difference_update(ref.id for ref in window)
                self._idle.set()

    async def _put(self, window: Sequence[ChunkRef], found: dict[ChunkId, NewChunk]) -> None:
        chunks = {found[ref.id].id: found[ref.id] for ref in window}
        if not self._counterparts.same:
            pairs = [(ref.id, found[ref.id].id) for ref in window]
            await trio.to_thread.run_sync(self._counterparts.note, pairs)
        packing = self._packer.pending[Kind.DATA]
        pending = {id_ for id_ in chunks if id_ in packing}
        there = await trio.to_thread.run_sync(self._selection.there, list(chunks))
        new = [c for c in chunks.values() if c.id not in there and c.id not in pending]
        packing.update(chunk.id for chunk in new)
        self._report.chunks += len(new)
        self._report.missing += sum(chunk.raw for chunk in new)
        await self._packer.put(LaneName.LARGE, new)
        self._progress.advance(sum(ref.raw for ref in window))
