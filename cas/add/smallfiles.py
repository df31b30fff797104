"""Small files: read whole, in batches, several batches at once.

A file that changes while it is read is read once more, at once; one that cannot be read as it is
does not keep the others of its batch from being stored.

Memory: BATCHES batches of about BATCH_SIZE bytes.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio
from blake3 import blake3

from ...errors import SourceChangedError, SourceUnreadableError
from ...ids import ObjectId
from ..chunking.cutter import Cutter, open_cutter
from ..formats.chunkids import ChunkIds
from ..formats.manifest import ChunkRef, encode_entries, encode_manifest
from ..packer import LaneName
from .digests import Sha256
from .ingest import Ingest, Part
from .origins import extensions_of
from .scan import Item
from .sources import BytesSource, found_again, open_item, read_whole
from .staged import Leaf

SMALL_FILE: Final = 4 << 20
"""Files up to this many bytes are read whole, in batches."""
BATCH_SIZE: Final = 8 << 20
BATCH_FILES: Final = 1024
BATCHES: Final = 2

Failure = SourceChangedError | SourceUnreadableError
"""Why a file's bytes could not be had as they are."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A small file that was read and cut: `item` as it was then, the objects of its manifest, and
    whether it is a Git LFS pointer."""

    leaf: Leaf
    item: Item
    size: int
    objects: list[bytes]
    manifest: ObjectId
    pointer: bool


@dataclass(frozen=True, slots=True)
class _Batch:
    """What became of a batch's files; `parts` are the chunks of those that were read."""

    read: list[_Read]
    parts: list[Part]
    failed: list[tuple[Leaf, Failure]]


class SmallFiles:
    """Turns batches of small files into manifests."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest

    async def add(self, batch: Sequence[Leaf]) -> list[tuple[Leaf, Failure]]:
        """Store a batch; those of its files that could not be read as they are."""
        done = await trio.to_thread.run_sync(self._read_all, batch, limiter=self._ingest.cpus)
        await self._ingest.store(done.parts, LaneName.SMALL)
        await self._ingest.put_objects([data for file in done.read for data in file.objects])
        for file in done.read:
            file.leaf.store(file.item, file.manifest, file.size)
            if not file.pointer:
                # A pointer is told about each time.
                self._ingest.unchanged.note(file.item, file.manifest, file.size)
        if done.read:
            name = os.fsdecode(done.read[-1].item.source)
            self._ingest.progress.advance(sum(file.size for file in done.read), name)
        return done.failed

    def _read_all(self, batch: Sequence[Leaf]) -> _Batch:
        parts: list[Part] = []
        read, failed = [], []
        for leaf in batch:
            try:
                read.append(self._read_or_again(leaf, parts))
            except (SourceChangedError, SourceUnreadableError) as error:
                failed.append((leaf, error))
        return _Batch(read, parts, failed)

    def _read_or_again(self, leaf: Leaf, parts: list[Part]) -> _Read:
        try:
            return self._read(leaf, leaf.item, parts)
        except SourceChangedError:
            return self._read(leaf, found_again(leaf.item), parts)

    def _read(self, leaf: Leaf, item: Item, parts: list[Part]) -> _Read:
        fd = open_item(item)
        try:
            data = read_whole(item, fd)
        finally:
            os.close(fd)
        pointer = is_pointer(data)
        if pointer:
            self._warn_of_pointer(item)
        sha256 = Sha256(self._ingest.request, item)
        sha256.update(data)
        extensions = sha256.extensions() | extensions_of(self._ingest.request, item)
        source = BytesSource(data, self._ingest.folders.beside(item))
        cutter = open_cutter(os.fsdecode(item.source), source)
        ids = self._ingest.ids
        cuts = _cut(cutter, data, ids)
        parts += cuts
        # A file of one chunk has that chunk's hash, unless that is keyed: not hashed twice.
        same = len(cuts) == 1 and not ids.keyed
        digest = bytes(cuts[0][0]) if same else blake3(data).digest()
        entries = encode_entries([ChunkRef(id_, len(part)) for id_, part, _ in cuts])
        objects = encode_manifest(len(data), digest, entries, extensions, cutter.regions, ids)
        return _Read(leaf, item, len(data), objects, ids.object(objects[-1]), pointer)

    def _warn_of_pointer(self, item: Item) -> None:
        self._ingest.report.warnings.append(
            f"{os.fsdecode(item.source)} is a Git LFS pointer, not the file it stands for; "
            "run `git lfs pull` there and add it again"
        )


def _cut(cutter: Cutter, data: bytes, ids: ChunkIds) -> list[Part]:
    view, at, parts = memoryview(data), 0, []
    for span in cutter.cut(view, True):
        part = view[at : at + span.size]
        parts.append((ids.of(part), part, span.element))
        at += span.size
    return parts


def is_pointer(data: bytes) -> bool:
    """Whether a file's bytes are a Git LFS pointer (git-lfs, docs/spec.md)."""
    return len(data) < 1024 and data.startswith(b"version https://git-lfs.github.com/spec/")


def batches(leaves: Iterable[Leaf]) -> Iterator[list[Leaf]]:
    """Small files in groups of at most BATCH_FILES and about BATCH_SIZE bytes."""
    batch: list[Leaf] = []
    size = 0
    for leaf in leaves:
        if batch and (len(batch) == BATCH_FILES or size + leaf.item.size > BATCH_SIZE):
            yield batch
            batch, size = [], 0
        batch.append(leaf)
        size += leaf.item.size
    if batch:
        yield batch
