"""The disk cache filled ahead of those who will read, and files taken out of it.

What is missing of each file is loaded in extents, several at a time, and written at once: here
somebody waits for it to be there, so nothing is left out because a queue is full.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from ...errors import ModelFloatError, UsageError, one_failure
from ...ids import ObjectId
from ..addressed import look_up
from ..cache.cachedfile import cached_name
from ..cache.folder import CacheFolder
from ..formats.cachemap import head_of
from ..formats.manifest import Manifest
from ..formats.tree import EntryType
from ..objects import Objects
from ..read.diskfiles import DiskFile, DiskFiles
from ..read.loader import EXTENT
from ..read.recipe import ChunkSpan
from ..refnames import Address
from ..reports import Progress

if TYPE_CHECKING:
    from ..store import Store

LOADS: Final = 8
"""Extents on their way at once: 32 MiB, what 50 ms and 600 MB/s have in flight."""
HELD: Final = 200
"""Files of one command that stay open to its end, so that they are not deleted for each other."""


@dataclass(slots=True)
class WarmReport:
    """What `warm` did: `files` of `bytes` are in the cache; `fetched` bytes were not before.

    `failures` tells of those that are not, and why; `exit_status` is 0, or that of the worst.
    """

    files: int = 0
    bytes: int = 0
    fetched: int = 0
    failures: list[str] = field(default_factory=list)
    exit_status: int = 0


@dataclass(slots=True)
class EvictReport:
    """What was taken out: `files` that took `bytes`; `busy` ones are open in some process."""

    files: int = 0
    bytes: int = 0
    busy: int = 0


async def warm(store: "Store", address: Address, progress: Progress) -> WarmReport:
    """Have every file that `address` names in the disk cache, whole and verified.

    NotFoundError, UsageError or ConflictError where it names nothing; UsageError where the store
    has no disk cache, or all of it could not fit.
    """
    disk = _disk_of(store)
    await disk.wait_for(disk.cache.folder.make)
    files = await trio.to_thread.run_sync(_files_of, store, address)
    progress.total = sum(manifest.size for manifest in files.values())
    limit = disk.cache.options.size
    if progress.total > limit:
        raise UsageError(
            f"{address} is {progress.total:,} bytes, and the disk cache may take {limit:,}; allow "
            "more with --cache-size, or warm a part"
        )
    report = WarmReport()
    with contextlib.ExitStack() as held:
        for name, manifest in files.items():
            if report.failures and disk.cache.refuses:
                report.failures.append("the others were not tried")
                break
            progress.current = name
            await _warm(store, disk, name, manifest, report, progress, held)
    return report


def _disk_of(store: "Store") -> DiskFiles:
    if store.disk is None:
        raise UsageError("there is no disk cache to warm: cache_size is 0; allow one: --cache-size")
    if not store.disk.wanted():
        raise UsageError(
            "the backends of this store are local, and mounts read them without a disk cache; "
            "`modelfloat config cache_local yes` has them use one"
        )
    return store.disk


async def _warm(
    store: "Store",
    disk: DiskFiles,
    name: str,
    manifest: Manifest,
    report: WarmReport,
    progress: Progress,
    held: contextlib.ExitStack,
) -> None:
    filling = _Filling(store, disk, manifest, progress)
    try:
        with one_failure():
            await filling.run()
    except ModelFloatError as error:
        report.failures.append(f"{name}: {error}")
        report.exit_status = max(report.exit_status, error.exit_status)
    else:
        report.files += 1
        report.bytes += manifest.size
    report.fetched += filling.fetched
    if filling.file is not None:
        held.callback(filling.file.close)
        if report.files > HELD:
            held.pop_all().close()


class _Filling:
    """One file on its way into the cache."""

    def __init__(
        self, store: "Store", disk: DiskFiles, manifest: Manifest, progress: Progress
    ) -> None:
        self._store = store
        self._manifest = manifest
        self._progress = progress
        self.file = disk.open(manifest)
        self.fetched = 0

    async def run(self) -> None:
        """Load what is missing, then have all of it read back and sealed."""
        file = self.file
        if file is None:  # an empty one
            return
        await file.prepare()
        extents = self._extents(file)
        async with trio.open_nursery() as nursery:
            for _ in range(LOADS):
                nursery.start_soon(self._load, file, extents)
        if not await file.finish():
            raise _not_whole()

    async def _load(self, file: DiskFile, extents: Iterator[list[ChunkSpan]]) -> None:
        for spans in extents:
            size = sum(span.raw for span in spans)
            self._store.budget.charge(size)
            try:
                chunks = await self._store.loader.load([s.id for s in spans], sequential=True)
                if not await file.keep(spans, chunks):
                    raise _not_whole()
            finally:
                self._store.budget.give(size)
            self.fetched += size
            self._progress.advance(size)

    def _extents(self, file: DiskFile) -> Iterator[list[ChunkSpan]]:
        """What is missing, in runs of at most EXTENT bytes; what is there counts as done."""
        extent, size = list[ChunkSpan](), 0
        for span in self._store.objects.recipe(self._manifest).all():
            if file.has(span):
                self._progress.advance(span.raw)
                continue
            if extent and size + span.raw > EXTENT:
                yield extent
                extent, size = [], 0
            extent.append(span)
            size += span.raw
        if extent:
            yield extent


def _not_whole() -> ModelFloatError:
    return ModelFloatError(
        "it is not whole in the disk cache, which is full or fails; `modelfloat doctor` says more"
    )


async def evict(folder: CacheFolder, store: "Store", address: Address) -> EvictReport:
    """Take every file that `address` names out of the disk cache; errors as of `warm`."""
    files = await trio.to_thread.run_sync(_files_of, store, address)
    names = {cached_name(head_of(manifest)) for manifest in files.values()}
    return await trio.to_thread.run_sync(_evict, folder, names)


def _evict(folder: CacheFolder, names: set[str]) -> EvictReport:
    report = EvictReport()
    for entry in folder.entries():
        if entry.name in names:
            if folder.remove(entry.name):
                report.files += 1
                report.bytes += entry.size
            else:
                report.busy += 1
    return report


def _files_of(store: "Store", address: Address) -> dict[str, Manifest]:
    """The manifests of all files that an address names, each once, by the name it has there."""
    found = look_up(store.objects, store.refs, address)
    names: dict[ObjectId, str] = {}
    if found.directory is not None:
        for path, id_ in _walk(store.objects, found.directory):
            names.setdefault(id_, path)
    elif found.entry is not None:
        names[store.find(address).object] = found.entry.name.decode(errors="replace")
    return {name: store.objects.manifest(id_) for id_, name in names.items()}


def _walk(objects: Objects, tree: ObjectId) -> Iterator[tuple[str, ObjectId]]:
    queue = [("", tree)]
    while queue:
        folder, here = queue.pop()
        for entry in objects.directory(here).entries():
            path = folder + entry.name.decode(errors="replace")
            if entry.type is EntryType.DIRECTORY:
                queue.append((f"{path}/", entry.object))
            elif entry.type is EntryType.FILE:
                yield path, entry.object
