"""From files to manifests: read, cut, hash, look up, encode what is new, hand it to the packer.

A large file goes through in windows: while one is cut, hashed and encoded, the next is read. Small
files go through in batches, several batches at once. Everything but the bookkeeping runs in worker
threads.

Memory: two windows a large file (one is added at a time) and BATCHES batches of small ones.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio
from blake3 import blake3

from ..ids import ChunkId, ObjectId
from .buffers import BufferPool
from .chunking.cutter import Cutter, open_cutter
from .chunking.regions import MAX_CHUNK, ElementType
from .digests import Sha256
from .encoding import Cut, encode_chunks, encode_objects
from .formats.chunktable import Kind
from .formats.manifest import ChunkRef, encode_entries, encode_manifest
from .formats.objects import object_id
from .known import Known
from .packer import LaneName, Packer
from .reports import AddReport, Progress
from .request import AddRequest, Reading
from .scan import Item
from .sources import (
    BytesSource,
    FileSource,
    check_unchanged,
    open_item,
    read_whole,
    read_window,
)

SMALL_FILE: Final = 4 << 20
"""Files up to this many bytes are read whole, in batches."""
WINDOW: Final = 8 << 20
"""Bytes of a large file read at a time."""
BATCH_SIZE: Final = 8 << 20
BATCH_FILES: Final = 256
BATCHES: Final = 2


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a file became: its manifest, and its size in bytes as it was read."""

    manifest: ObjectId
    size: int


@dataclass(frozen=True, slots=True)
class _ReadFile:
    """A small file, read and cut."""

    size: int
    digest: bytes
    cuts: list[Cut]
    extensions: dict[int, bytes]


class Ingest:
    """Turns files into manifests. `report` counts what is new and what was there."""

    def __init__(
        self,
        reading: Reading,
        request: AddRequest,
        packer: Packer,
        report: AddReport,
        progress: Progress,
    ) -> None:
        self._known = Known(reading.index, reading.pool, reading.scheme)
        self._request = request
        self._packer = packer
        self._report = report
        self._progress = progress
        self._windows = BufferPool(MAX_CHUNK + WINDOW, 3)
        self._cpus = trio.CapacityLimiter(max(2, os.cpu_count() or 1))

    # Large files

    async def large(self, item: Item) -> StoredFile:
        """Add one large file, window by window."""
        fd = await trio.to_thread.run_sync(open_item, item)
        try:
            return await self._large(item, fd)
        finally:
            os.close(fd)

    async def _large(self, item: Item, fd: int) -> StoredFile:
        name = os.fsdecode(item.source)
        source = FileSource(fd, item.status.st_size, name)
        cutter = await trio.to_thread.run_sync(open_cutter, name, source, limiter=self._cpus)
        hasher, sha256 = blake3(), Sha256(self._request, item)
        entries: list[bytes] = []
        size = 0
        rest: memoryview = memoryview(b"")
        buffer = self._windows.take()
        length = await trio.to_thread.run_sync(read_window, item, fd, 0, buffer)
        while length:
            following = self._windows.take()
            ahead = [0]

            async def read_next(
                into: memoryview = following, at: int = size + length, out: list[int] = ahead
            ) -> None:
                out[0] = await trio.to_thread.run_sync(read_window, item, fd, at, into)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_next)
                if sha256.wanted:
                    nursery.start_soon(self._hash, sha256, buffer[MAX_CHUNK : MAX_CHUNK + length])
                start = MAX_CHUNK - len(rest)
                buffer[start:MAX_CHUNK] = rest
                window = buffer[start : MAX_CHUNK + length]
                # A short read is the end: what a file grew by meanwhile is for the next add.
                used = await self._window(cutter, hasher, window, length < WINDOW, entries)
            rest = window[used:]
            size += length
            self._progress.advance(length, name)
            buffer, length = following, ahead[0]
        if len(rest):
            await self._window(cutter, hasher, rest, True, entries)
        check_unchanged(fd, item)
        return await self._manifest(size, hasher.digest(), b"".join(entries), sha256.extensions())

    async def _hash(self, sha256: Sha256, window: memoryview) -> None:
        await trio.to_thread.run_sync(sha256.update, window, limiter=self._cpus)

    async def _window(
        self,
        cutter: Cutter,
        hasher: blake3,
        window: memoryview,
        final: bool,
        entries: list[bytes],
    ) -> int:
        """Store what is new in one window; the number of its bytes that were decided."""
        cuts = await trio.to_thread.run_sync(
            self._cut, cutter, window, final, hasher, limiter=self._cpus
        )
        await self._store(cuts, LaneName.LARGE)
        entries.append(encode_entries([ChunkRef(cut.id, len(cut.data)) for cut in cuts]))
        return sum(len(cut.data) for cut in cuts)

    def _cut(
        self, cutter: Cutter, window: memoryview, final: bool, hasher: blake3 | None = None
    ) -> list[Cut]:
        at, parts = 0, []
        for span in cutter.cut(window, final):
            data = window[at : at + span.size]
            parts.append((ChunkId(blake3(data).digest()), data, span.element))
            if hasher is not None:
                # At once, while the chunk is in the processor's cache: memory is the bottleneck.
                hasher.update(data)
            at += span.size
        return self._look_up(parts)

    def _look_up(self, parts: Sequence[tuple[ChunkId, memoryview, ElementType]]) -> list[Cut]:
        places = self._known.chunks([id_ for id_, _, _ in parts], Kind.DATA)
        return [
            Cut(id_, data, element, place is not None)
            for (id_, data, element), place in zip(parts, places, strict=True)
        ]

    async def _store(self, cuts: Sequence[Cut], lane: LaneName) -> None:
        """Claim the new ones among `cuts`, encode them and hand them to the packer."""
        new = []
        for cut in cuts:
            size = len(cut.data)
            self._report.logical += size
            if cut.known or cut.id in self._packer.pending[Kind.DATA]:
                self._report.deduplicated += size
            else:
                self._packer.pending[Kind.DATA].add(cut.id)
                self._report.new += size
                new.append(cut)
        if new:
            chunks = await trio.to_thread.run_sync(encode_chunks, new, limiter=self._cpus)
            await self._packer.put(lane, chunks)

    # Small files

    async def small(self, items: Sequence[Item]) -> list[StoredFile]:
        """Add a batch of small files; the result is in their order."""
        files = await trio.to_thread.run_sync(self._read_all, items, limiter=self._cpus)
        await self._store([cut for file in files for cut in file.cuts], LaneName.SMALL)
        manifests: list[bytes] = []
        for file, item in zip(files, items, strict=True):
            entries = encode_entries([ChunkRef(cut.id, len(cut.data)) for cut in file.cuts])
            manifests += encode_manifest(file.size, file.digest, entries, file.extensions)
            self._progress.advance(file.size, os.fsdecode(item.source))
        await self.put_objects(manifests)
        return [
            StoredFile(object_id(manifest), file.size)
            for manifest, file in zip(manifests, files, strict=True)
        ]

    def _read_all(self, items: Sequence[Item]) -> list[_ReadFile]:
        return [self._read_small(item) for item in items]

    def _read_small(self, item: Item) -> _ReadFile:
        fd = open_item(item)
        try:
            data = read_whole(item, fd)
        finally:
            os.close(fd)
        self._warn_of_pointer(item, data)
        sha256 = Sha256(self._request, item)
        sha256.update(data)
        source = BytesSource(data)
        cutter = open_cutter(os.fsdecode(item.source), source)
        cuts = self._cut(cutter, memoryview(data), True)
        # A file of one chunk has that chunk's hash: the same bytes are not hashed twice.
        digest = bytes(cuts[0].id) if len(cuts) == 1 else blake3(data).digest()
        return _ReadFile(len(data), digest, cuts, sha256.extensions())

    def _warn_of_pointer(self, item: Item, data: bytes) -> None:
        if is_pointer(data):
            self._report.warnings.append(
                f"{os.fsdecode(item.source)} is a Git LFS pointer, not the file it stands for; "
                "run `git lfs pull` there and add it again"
            )

    # Objects

    async def _manifest(
        self, size: int, digest: bytes, entries: bytes, extensions: dict[int, bytes]
    ) -> StoredFile:
        objects = encode_manifest(size, digest, entries, extensions)
        await self.put_objects(objects)
        return StoredFile(object_id(objects[-1]), size)

    async def put_objects(self, objects: Sequence[bytes]) -> None:
        """Store what of `objects` is not stored yet."""
        by_id = {object_id(data): data for data in objects}
        missing = await trio.to_thread.run_sync(self._known.missing_objects, list(by_id))
        pending = self._packer.pending[Kind.OBJECT]
        new = [id_ for id_ in missing if ChunkId(id_) not in pending]
        pending.update(ChunkId(id_) for id_ in new)
        found = {id_: by_id[id_] for id_ in new}
        chunks = await trio.to_thread.run_sync(encode_objects, found, limiter=self._cpus)
        await self._packer.put_objects(chunks, found)


def is_pointer(data: bytes) -> bool:
    """Whether a file's bytes are a Git LFS pointer (git-lfs, docs/spec.md)."""
    return len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/")


def batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Small files in groups of at most BATCH_FILES and about BATCH_SIZE bytes."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if batch and (len(batch) == BATCH_FILES or size + item.status.st_size > BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.status.st_size
    if batch:
        yield batch
