"""From sources to staged entries: what is found is laid out as it will lie in the tree.

Synchronous; runs in worker threads.
"""

import os

from ..ids import ObjectId
from .demands import check_request
from .formats.journal import RefKind
from .formats.tree import EntryType
from .reports import AddReport, Progress
from .request import AddRequest, Reading
from .scan import Scan, left_out
from .staged import Leaf, Staged
from .syncing import Path, Removals
from .trees import check_conflicts


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

    def scan(self, report: AddReport, progress: Progress) -> None:
        """Find everything and stage it; the files' manifests are still to come.

        `report` and `progress` are told what was found. UsageError where two things are for one
        place, or one for a place that something else has.
        """
        request, scan = self._request, self._scan
        check_request(request, self._reading.path)
        self._into, name = self._destination()
        for item in scan.items(request.sources, self._into, name):
            self.staged.put(item)
            if item.type is EntryType.FILE:
                progress.files += 1
                progress.total += item.size
        report.skipped = scan.skipped
        report.files = progress.files
        if request.sync:
            self.staged.directory(self._into).whole = True
        self.staged.check()
        check_conflicts(self._reading.objects, self._base(), self.staged)

    def leave_out(self, leaf: Leaf) -> None:
        """A file that was found is not to be stored: what the tree has there stays as it is."""
        leaf.leave_out()
        self._scan.passed.add(leaf.item.path)

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
