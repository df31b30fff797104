"""Writing stored files into folders: what `get` does with a tree.

Concurrency: one task walks trees and makes folders; a few workers write files and links, each
holding one file's window. The walk waits when all workers are busy, so memory is bounded by them,
whatever a tree holds. A folder gets its mode and time when the last thing in it was written.
All calls to the system and all reads of trees are made in worker threads.
"""

import contextlib
import os
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import trio

from ...errors import (
    BackendError,
    DamageError,
    ExistsError,
    FormatError,
    IndexDamagedError,
    ModelFloatError,
)
from ...ids import ObjectId
from ..formats.manifest import Manifest
from ..formats.tree import Entry, EntryType
from ..objects import Objects
from ..progress import Progress
from ..read.reader import Reader
from ..read.recipe import ChunkSpan
from .filling import WINDOW, fill, is_hole, put, runs
from .landing import Folder, Part, named
from .report import GetFailure, GetReport

WORKERS: Final = 8
"""Files written at once."""
LARGE: Final = 16 << 20
LARGE_WORKERS: Final = 3
"""Of which so many may be large: each has a window of chunks loaded ahead of it."""
SMALL: Final = 64 << 10
"""Files up to this many bytes are fetched with their neighbours."""
RESUMED: Final = 64 << 20
"""An interrupted file of this size or more stays beside its name for the next get."""
MOST_FAILURES: Final = 1000
"""Failures that are named; more are only counted."""
_BATCH: Final = 64

_GOES_ON: Final = (DamageError, BackendError, IndexDamagedError, FormatError)
"""What concerns one file: the others are still to be had."""


@dataclass(slots=True)
class _Listing:
    """A folder being written, and the entries of its tree, read a batch at a time."""

    folder: Folder
    entries: Iterator[Entry]
    batch: deque[Entry] = field(default_factory=deque)


class Extractor:
    """Writes entries of one store's trees.

    `force` replaces files and links that differ; `verify` reads back and compares what was
    written and what was there already. What cannot be had is noted in `report`.
    """

    def __init__(
        self,
        objects: Objects,
        reader: Reader,
        report: GetReport,
        progress: Progress,
        *,
        force: bool,
        verify: bool,
    ) -> None:
        self._objects = objects
        self._reader = reader
        self._report = report
        self._progress = progress
        self._force = force
        self._verify = verify
        self._large = trio.CapacityLimiter(LARGE_WORKERS)
        self._open: set[Folder] = set()

    async def directory(self, tree: ObjectId, path: str) -> None:
        """Write a directory's entries into the folder `path`, made where it is not there.

        ExistsError where something else is in the way, ModelFloatError where the destination
        cannot be written.
        """
        with named(path):
            root = await trio.to_thread.run_sync(Folder.open, path)
        self._open.add(root)
        send, receive = trio.open_memory_channel[tuple[Folder, Entry]](0)
        try:
            async with trio.open_nursery() as nursery, send:
                for _ in range(WORKERS):
                    nursery.start_soon(self._work, receive.clone())
                receive.close()
                await self._walk(root, tree, send)
                await send.aclose()
        finally:
            for folder in self._open:
                folder.close()
            self._open.clear()

    async def single(self, entry: Entry, path: str, name: bytes) -> None:
        """Write one file or link into the folder `path` under `name`; errors as of `directory`."""
        with named(path):
            folder = await trio.to_thread.run_sync(Folder.open, path)
        try:
            await self._write(folder, entry, name)
        finally:
            folder.close()

    async def _walk(
        self, root: Folder, tree: ObjectId, send: trio.MemorySendChannel[tuple[Folder, Entry]]
    ) -> None:
        stack = [_Listing(root, self._entries(tree))]
        while stack:
            listing = stack[-1]
            entry = None
            with self._noting(listing.folder.where):
                entry = await self._next(listing)
            if entry is None:
                stack.pop()
                await self._release(listing.folder)
            elif entry.type is EntryType.DIRECTORY:
                folder = await self._enter(listing.folder, entry)
                stack.append(_Listing(folder, self._entries(entry.object)))
            else:
                listing.folder.pending += 1
                await send.send((listing.folder, entry))

    async def _next(self, listing: _Listing) -> Entry | None:
        if not listing.batch:
            spans = await trio.to_thread.run_sync(self._read_batch, listing)
            # Small files that lie side by side in a pack are fetched together.
            self._reader.start(spans)
        return listing.batch.popleft() if listing.batch else None

    def _read_batch(self, listing: _Listing) -> list[ChunkSpan]:
        """Read entries; the chunks of those small files that are surely to be written."""
        listing.batch += islice(listing.entries, _BATCH)
        if not listing.folder.fresh:
            return []
        small = [e for e in listing.batch if e.type is EntryType.FILE and e.size <= SMALL]
        spans: list[ChunkSpan] = []
        for entry in small:
            # What is wrong with a file is told when it is written.
            with contextlib.suppress(ModelFloatError):
                manifest = self._objects.manifest(entry.object)
                spans += self._objects.recipe(manifest).spans(0, entry.size)
        return [span for span in spans if not is_hole(span, self._objects.ids)]

    def _entries(self, tree: ObjectId) -> Iterator[Entry]:
        # As a generator: the tree is read when the first entry is asked for, in that thread.
        yield from self._objects.directory(tree).entries()

    async def _enter(self, parent: Folder, entry: Entry) -> Folder:
        with named(parent.path(entry.name)):
            folder = await trio.to_thread.run_sync(parent.enter, entry)
        parent.pending += 1
        self._open.add(folder)
        self._report.folders += 1
        return folder

    async def _release(self, folder: Folder | None) -> None:
        """One thing less is pending in a folder; the last one finishes it, and so on upwards."""
        while folder is not None:
            folder.pending -= 1
            if folder.pending:
                return
            with named(folder.where):
                await trio.to_thread.run_sync(folder.finish)
            self._open.discard(folder)
            folder = folder.parent

    async def _work(self, receive: trio.MemoryReceiveChannel[tuple[Folder, Entry]]) -> None:
        async with receive:
            async for folder, entry in receive:
                await self._write(folder, entry, entry.name)
                await self._release(folder)

    async def _write(self, folder: Folder, entry: Entry, name: bytes) -> None:
        path = folder.path(name)
        with self._noting(path), named(path):
            if entry.type is EntryType.SYMLINK:
                await trio.to_thread.run_sync(self._link, folder, entry, name)
                self._progress.advance(0, path)
            elif entry.size < LARGE:
                await self._file(folder, entry, name)
            else:
                async with self._large:
                    await self._file(folder, entry, name)

    @contextlib.contextmanager
    def _noting(self, path: str) -> Iterator[None]:
        """Take note of what concerns one file only, and go on."""
        try:
            yield
        except _GOES_ON as error:
            self._note(path, error)

    def _note(self, path: str, error: ModelFloatError) -> None:
        report = self._report
        report.failed += 1
        report.exit_status = max(report.exit_status, error.exit_status)
        if len(report.failures) < MOST_FAILURES:
            report.failures.append(GetFailure(path, str(error)))

    def _link(self, folder: Folder, entry: Entry, name: bytes) -> None:
        there = folder.status(name)
        if there is not None:
            if folder.has_link(name, there, entry):
                self._report.unchanged += 1
                return
            self._check_replace(folder, there, name)
        folder.link(name, entry)
        self._report.links += 1

    async def _file(self, folder: Folder, entry: Entry, name: bytes) -> None:
        manifest = await trio.to_thread.run_sync(self._look, folder, entry, name)
        if manifest is None:
            self._report.unchanged += 1
            self._report.verified += self._verify
            self._progress.advance(entry.size, folder.path(name))
            return
        if entry.size <= WINDOW:
            await self._write_small(folder, entry, name, manifest)
        else:
            await self._write_large(folder, entry, name, manifest)
        self._report.files += 1
        self._report.bytes += entry.size
        self._report.verified += self._verify

    async def _write_small(
        self, folder: Folder, entry: Entry, name: bytes, manifest: Manifest
    ) -> None:
        """Fetch a file of one window, then write it in one go: threads cost more than its bytes."""
        pieces: list[tuple[int, list[memoryview]]] = []
        with contextlib.closing(self._reader.open(manifest)) as reader:
            spans, ids = reader.spans(0, entry.size), self._objects.ids
            wanted = [span for span in spans if not is_hole(span, ids)]
            for run in runs(wanted):
                pieces.append((run[0].offset, await reader.parts(run)))  # noqa: PERF401
        digest = manifest.blake3 if self._verify else None
        await trio.to_thread.run_sync(put, folder, entry, name, pieces, digest)
        self._progress.advance(entry.size, folder.path(name))

    async def _write_large(
        self, folder: Folder, entry: Entry, name: bytes, manifest: Manifest
    ) -> None:
        part = await trio.to_thread.run_sync(Part, folder, name, entry)
        try:
            reader, ids = self._reader.open(manifest), self._objects.ids
            await fill(reader, part, ids, self._progress, folder.path(name))
            digest = manifest.blake3 if self._verify else None
            await trio.to_thread.run_sync(part.publish, digest)
        except BaseException as error:
            # Of a large file that was interrupted, the next get uses what is there.
            if isinstance(error, Exception) or entry.size < RESUMED:
                part.discard()
            raise
        finally:
            part.close()

    def _look(self, folder: Folder, entry: Entry, name: bytes) -> Manifest | None:
        """The manifest of the file that is to be written; None where it is there already."""
        manifest = self._objects.manifest(entry.object)
        there = folder.status(name)
        if there is not None:
            if folder.has_file(name, there, entry, manifest.blake3, verify=self._verify):
                return None
            self._check_replace(folder, there, name)
        return manifest

    def _check_replace(self, folder: Folder, there: os.stat_result, name: bytes) -> None:
        if stat.S_ISDIR(there.st_mode):
            raise ExistsError(f"{folder.path(name)} is there and is a directory; move it away")
        if not self._force:
            raise ExistsError(f"{folder.path(name)} is there and differs; --force replaces it")
