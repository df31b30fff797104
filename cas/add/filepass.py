"""The order in which an add goes through its files, and what it remembers on the way.

Large files go one after the other, small ones in batches beside them. From time to time what was
done so far is made to count: manifests are stored, and the index remembers the files. So an add
that was interrupted goes on near where it was, without reading again what it had done.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

import trio

from ...errors import SourceChangedError, SourceUnreadableError
from ...ids import ObjectId
from ..formats.journal import NO_ID
from ..packer import Packer
from .ingest import Ingest
from .largefiles import LargeFiles
from .line import Line
from .origins import renewed
from .scan import Item
from .smallfiles import BATCHES, SMALL_FILE, Failure, SmallFiles, batches
from .staged import MOST, Leaf
from .staging import Staging

CHECKPOINT: Final = 4 << 30
"""Bytes read between two moments from which an interrupted add goes on."""
CHECKPOINT_FILES: Final = 20_000

_T = TypeVar("_T")


class FilePass:
    """Goes through the files that are staged, and gives each its manifest."""

    def __init__(self, ingest: Ingest, packer: Packer, staging: Staging) -> None:
        self._ingest = ingest
        self._packer = packer
        self._staging = staging
        self._small = SmallFiles(ingest)
        self._failure: Failure | None = None
        self._since = 0
        self._part = 0

    async def run(self) -> None:
        """Go through all of them. One that cannot be read as it is goes into no commit.

        SourceChangedError or SourceUnreadableError where that leaves none.
        """
        staged = self._staging.staged
        large = _Turns(staged.files(sizes=range(SMALL_FILE + 1, MOST)))
        small = _Turns(batches(staged.files(sizes=range(SMALL_FILE + 1))))

        async def add_large() -> None:
            files = LargeFiles(self._ingest, Line(self._ingest, nursery), self._note_part)
            while leaf := await large.next():
                for fresh in await self._fresh([leaf]):
                    await self._add_large(files, fresh)

        async def add_small() -> None:
            while batch := await small.next():
                if fresh := await self._fresh(batch):
                    for leaf, error in await self._small.add(fresh):
                        self._leave_out(leaf, error)
                await self._count(sum(leaf.item.size for leaf in batch))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add_large)
            for _ in range(BATCHES):
                nursery.start_soon(add_small)
        if self._failure is not None and not self._ingest.report.files:
            raise self._failure

    async def _add_large(self, files: LargeFiles, leaf: Leaf) -> None:
        self._part = 0
        try:
            await files.add(leaf)
        except (SourceChangedError, SourceUnreadableError) as error:
            self._leave_out(leaf, error)
        await self._count(leaf.item.size - self._part)

    async def _fresh(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        """Those that must be read; the others get the manifest that they have."""
        items = [leaf.item for leaf in leaves]
        known = await trio.to_thread.run_sync(
            self._ingest.unchanged.find, items, limiter=self._ingest.cpus
        )
        fresh = []
        for leaf, item, manifest in zip(leaves, items, known, strict=True):
            if manifest is None:
                fresh.append(leaf)
            else:
                leaf.store(item, await self._with_source(item, manifest), item.size)
                self._count_unchanged(item)
        return fresh

    async def _with_source(self, item: Item, manifest: ObjectId) -> ObjectId:
        """The manifest of a file that is not read; made anew where it lacks the file's source."""
        request = self._ingest.request
        if not request.source_url:
            return manifest
        (data,) = await trio.to_thread.run_sync(self._ingest.objects, [manifest])
        new = None if data is None else renewed(request, item, data)
        if new is None:
            return manifest
        await self._ingest.put_objects([new])
        self._ingest.unchanged.note(item, self._ingest.ids.object(new), item.size)
        return self._ingest.ids.object(new)

    def _count_unchanged(self, item: Item) -> None:
        report, size = self._ingest.report, item.size
        report.unchanged_files += 1
        report.unchanged += size
        report.logical += size
        report.deduplicated += size
        report.already += size
        self._ingest.progress.advance(size)

    def _leave_out(self, leaf: Leaf, error: Failure) -> None:
        """A file whose bytes cannot be had as they are goes into no commit; the others do."""
        self._staging.leave_out(leaf)
        self._failure = self._failure or error
        self._ingest.report.failed.append(str(error))
        self._ingest.report.files -= 1

    async def _note_part(self, item: Item, done: int) -> None:
        """Of a file that long it is noted how far it has come."""
        if done - self._part >= CHECKPOINT:
            self._part = done
            self._ingest.unchanged.note(item, ObjectId(NO_ID), done)
            await self._checkpoint()

    async def _count(self, size: int) -> None:
        self._since += size
        if self._since >= CHECKPOINT or len(self._ingest.unchanged) >= CHECKPOINT_FILES:
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        self._since = 0
        await self._packer.seal_objects()
        await self._ingest.unchanged.save()


class _Turns(Generic[_T]):
    """An iterator that several tasks take from; each step runs in a worker thread."""

    def __init__(self, source: Iterator[_T]) -> None:
        self._source = source
        self._turn = trio.Lock()

    async def next(self) -> _T | None:
        """The next one, None at the end."""
        async with self._turn:
            return await trio.to_thread.run_sync(next, self._source, None)
