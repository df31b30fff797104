"""The disk cache filled ahead of those who will read, and files taken out of it.

What is missing of each file is written at once: here somebody waits for it to be there, so nothing
is left out because a queue is full.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from ...errors import ModelFloatError, one_failure
from ...ids import ObjectId
from ..addressed import look_up
from ..cache.datafile import cached_name
from ..cache.folder import CacheFolder
from ..cache.survey import is_whole
from ..formats.cachemap import head_of
from ..formats.manifest import Manifest
from ..formats.tree import EntryType
from ..objects import Objects
from ..progress import Progress
from ..read.diskfiles import DiskFile, DiskFiles
from ..refnames import Address
from .cachefill import CacheFill, not_whole

if TYPE_CHECKING:
    from ..store import Store

HELD: Final = 200
"""Files of one command that stay open to its end, so that they are not deleted for others of it."""


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

    NotFoundError, UsageError or ConflictError where it names nothing; ModelFloatError where the
    store has no disk cache, or all of it could not fit.
    """
    files = await trio.to_thread.run_sync(_files_of, store, address)
    disk = _disk_of(store)
    await disk.wait_for(disk.cache.folder.make)
    progress.total = sum(manifest.size for _, manifest in files)
    limit = disk.cache.options.size
    if progress.total > limit:
        raise ModelFloatError(
            f"{address} is {progress.total:,} bytes, and the disk cache may take {limit:,}; allow "
            "more with --cache-size, or warm a part"
        )
    warming = _Warming(store, disk, progress)
    try:
        for name, manifest in files:
            if warming.report.failures and disk.cache.refuses:
                warming.report.failures.append("the others were not tried")
                break
            await warming.add(name, manifest)
        await warming.look_again()
    finally:
        warming.close()
    return warming.report


def _disk_of(store: "Store") -> DiskFiles:
    if store.disk is None:
        raise ModelFloatError(
            "there is no disk cache to warm: cache_size is 0; allow one: --cache-size"
        )
    if not store.disk.wanted():
        raise ModelFloatError(
            "the backends of this store are local, and mounts read them without a disk cache; "
            "`modelfloat config cache_local yes` has them use one"
        )
    return store.disk


class _Warming:
    """One command: the files that it has had warmed, and what is to be said of them."""

    def __init__(self, store: "Store", disk: DiskFiles, progress: Progress) -> None:
        self.report = WarmReport()
        self._store = store
        self._disk = disk
        self._progress = progress
        self._held: list[DiskFile] = []
        self._whole: dict[str, Manifest] = {}

    async def add(self, name: str, manifest: Manifest) -> None:
        """Have one file more in the cache; or note why that cannot be."""
        self._progress.current = name
        fill = CacheFill(self._store, self._disk, manifest, self._progress)
        try:
            with one_failure():
                await fill.run()
        except ModelFloatError as error:
            self._fail(name, error)
        else:
            self.report.files += 1
            self.report.bytes += manifest.size
            if fill.file is not None:
                self._whole[name] = manifest
        finally:
            self.report.fetched += fill.fetched
            if fill.file is not None:
                self._hold(fill.file)

    async def look_again(self) -> None:
        """Files that were not held may have gone since, for those that came after them."""
        folder = self._disk.cache.folder
        for name, manifest in self._whole.items():
            if not await self._disk.wait_for(partial(is_whole, folder, head_of(manifest))):
                self.report.files -= 1
                self.report.bytes -= manifest.size
                self._fail(name, not_whole())

    def _fail(self, name: str, error: ModelFloatError) -> None:
        self.report.failures.append(f"{name}: {error}")
        self.report.exit_status = max(self.report.exit_status, error.exit_status)

    def _hold(self, file: DiskFile) -> None:
        if len(self._held) < HELD:
            self._held.append(file)
        else:
            file.close()

    def close(self) -> None:
        """Nothing is held any more."""
        for file in self._held:
            file.close()


async def evict(folder: CacheFolder, store: "Store", address: Address) -> EvictReport:
    """Take every file that `address` names out of the disk cache; errors as of `warm`."""
    files = await trio.to_thread.run_sync(_files_of, store, address)
    names = {cached_name(head_of(manifest)) for _, manifest in files}
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


def _files_of(store: "Store", address: Address) -> list[tuple[str, Manifest]]:
    """All files that an address names, each once: a name that it has there, and its manifest."""
    found = look_up(store.objects, store.refs, address)
    names: dict[ObjectId, str] = {}
    if found.directory is not None:
        for path, id_ in _walk(store.objects, found.directory):
            names.setdefault(id_, path)
    elif found.entry is not None:
        names[store.find(address).object] = found.entry.name.decode(errors="backslashreplace")
    return [(name, store.objects.manifest(id_)) for id_, name in names.items()]


def _walk(objects: Objects, tree: ObjectId) -> Iterator[tuple[str, ObjectId]]:
    queue = [("", tree)]
    while queue:
        folder, here = queue.pop()
        for entry in objects.directory(here).entries():
            path = folder + entry.name.decode(errors="backslashreplace")
            if entry.type is EntryType.DIRECTORY:
                queue.append((f"{path}/", entry.object))
            elif entry.type is EntryType.FILE:
                yield path, entry.object
