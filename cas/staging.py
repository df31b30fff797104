"""From sources to staged entries: what is found is laid out as it will lie in the tree.

Synchronous; runs in worker threads.
"""

import os
from typing import Final

from ..ids import ObjectId
from .demands import check_request
from .formats.journal import NO_ID, RefKind
from .formats.tree import Entry, EntryType
from .ingest import StoredFile
from .reports import AddReport, Progress
from .request import AddRequest, Reading
from .scan import Item, Scan, left_out
from .syncing import Path, Removals
from .trees import DEFAULT_MODE, Staged, check_conflicts

MASK: Final = 0o7777


class Staging:
    """What one add lays over the branch's tree: `staged`."""

    def __init__(self, reading: Reading, request: AddRequest, branch: str) -> None:
        self._reading = reading
        self._request = request
        self._branch = branch
        self.staged = Staged()
        avoid = os.fsencode(os.path.realpath(reading.path))
        self._scan = Scan(request.exclude, avoid=avoid, devices=request.keep_out)
        self._into: Path = ()

    def scan(self, report: AddReport, progress: Progress) -> list[Item]:
        """Find everything and stage it; the files, whose manifests are still to come.

        Both are told what was found. UsageError where two things are for one place, or one for a
        place that something else has.
        """
        request, scan = self._request, self._scan
        check_request(request, self._reading.path)
        self._into, name = self._destination()
        items = list(scan.items(request.sources, self._into, name))
        report.skipped = scan.skipped
        files = [item for item in items if item.type is EntryType.FILE]
        report.files = progress.files = len(files)
        progress.total += sum(item.status.st_size for item in files)
        for item in items:
            self._stage_item(item)
        if request.sync:
            self.staged.directory(self._into).whole = True
        check_conflicts(self._reading.objects, self._base(), self.staged)
        return files

    def removals(self) -> Removals | None:
        """Takes down what a merge removes; None where nothing may be."""
        return Removals(self._into, self._stays) if self._request.sync else None

    def _stays(self, below: Path) -> bool:
        text = os.fsdecode(b"/".join(below))
        return (*self._into, *below) in self._scan.passed or left_out(text, self._request.exclude)

    def _base(self) -> ObjectId | None:
        """The tree of the branch's head, as it is now."""
        refs, objects = self._reading.refs, self._reading.objects
        head = refs.head(self._request.address.repo, RefKind.BRANCH, self._branch)
        return None if head is None else objects.commit(head.commit).tree

    def _destination(self) -> tuple[tuple[bytes, ...], bytes]:
        """The directory to add into, and a name for a single source file (or b"")."""
        path = self._request.address.path
        if not path or len(self._request.sources) != 1:
            return path, b""
        base = self._base()
        there = None if base is None else self._reading.objects.find(base, path)
        if self._request.address.folder:
            return path, b""
        if not os.path.isdir(self._request.sources[0]) and (
            there is None or there.type is not EntryType.DIRECTORY
        ):
            return path[:-1], path[-1]
        return path, b""

    def _stage_item(self, item: Item) -> None:
        """Links and directories as they are found; files as places to be filled once stored, so
        that two things for one place are noticed before anything is read."""
        mode, mtime = item.status.st_mode & MASK, item.status.st_mtime_ns
        if item.type is EntryType.SYMLINK:
            link = Entry(item.path[-1], item.type, mode, mtime, len(item.link), item.link)
            self.staged.put(item.path[:-1], link, new=True)
        elif item.type is EntryType.DIRECTORY:
            directory = self.staged.directory(item.path)
            directory.mode, directory.mtime_ns = mode or DEFAULT_MODE, mtime
        else:
            self.file(item, StoredFile(ObjectId(NO_ID), item.status.st_size), new=True)

    def file(self, item: Item, stored: StoredFile, *, new: bool = False) -> None:
        """Stage a file: as what it became, or if it is `new` as what it will be."""
        status = item.status
        entry = Entry(
            item.path[-1],
            EntryType.FILE,
            status.st_mode & MASK,
            status.st_mtime_ns,
            stored.size,
            stored.manifest,
        )
        self.staged.put(item.path[:-1], entry, new=new)
