"""From sources to staged entries: what is found is laid out as it will lie in the tree.

Synchronous; runs in worker threads.
"""

import os
from collections.abc import Iterator

from ...ids import ObjectId
from ..formats.journal import RefKind
from ..formats.tree import EntryType
from ..progress import Progress
from .demands import check_request
from .report import AddReport
from .request import AddRequest, Reading
from .scan import Item, Scan, rule_against
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
        self._scan = self._new_scan()
        self._into: Path = ()

    def scan(self, report: AddReport, progress: Progress) -> None:
        """Find everything and stage it; the files' manifests are still to come.

        `report` and `progress` are told what was found. UsageError where two things are for one
        place, or one for a place that something else has.
        """
        request, scan = self._request, self._scan
        check_request(request, own_folders(self._reading))
        self._into, name = self._destination()
        sources = self._still_there(name, report) if request.move else request.sources
        for item in scan.items(sources, self._into, name):
            self.staged.put(item)
            if item.type is EntryType.FILE:
                report.files += 1
                progress.files += 1
                progress.total += item.size
        report.skipped, report.failed = scan.skipped, scan.failed
        report.left_out = scan.left_out()
        if request.sync:
            self.staged.directory(self._into).whole = True
        self.staged.check()
        check_conflicts(self._reading.objects, self._base(), self.staged)

    def folders_again(self) -> Iterator[Item]:
        """What is in the folders among the sources now, with paths as when they were scanned."""
        folders = [source for source in self._request.sources if os.path.isdir(source)]
        return self._new_scan().items(folders, self._into, b"")

    def _new_scan(self) -> Scan:
        avoid = frozenset(os.fsencode(folder) for folder in own_folders(self._reading))
        return Scan(self._request.exclude, avoid=avoid, devices=self._request.keep_out)

    def _still_there(self, name: bytes, report: AddReport) -> list[str]:
        """The sources without those that were moved by an add that ended before its last step."""
        base, there = self._base(), []
        for source in self._request.sources:
            base_name = name or os.path.basename(os.path.abspath(os.fsencode(source)))
            gone = base is not None and not os.path.lexists(source)
            if gone and base and self._reading.objects.find(base, (*self._into, base_name)):
                report.warnings.append(f"{source} was moved already")
            else:
                there.append(source)
        return there

    def leave_out(self, leaf: Leaf) -> None:
        """A file that was found is not to be stored: what the tree has there stays as it is."""
        leaf.leave_out()
        self._scan.passed.add(leaf.item.path)

    def removals(self) -> Removals | None:
        """Takes down what a merge removes; None where nothing may be."""
        return Removals(self._into, self._stays) if self._request.sync else None

    def _stays(self, below: Path) -> bool:
        text = os.fsdecode(b"/".join(below))
        return (*self._into, *below) in self._scan.passed or bool(
            rule_against(text, self._request.exclude)
        )

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


def own_folders(reading: Reading) -> frozenset[str]:
    """Real paths of what a store lies in: its folder, and backends that are directories."""
    urls = [member.backend.properties.url for member in reading.pool.members]
    folders = [reading.path, *(url for url in urls if url.startswith("/"))]
    return frozenset(os.path.realpath(folder) for folder in folders)
