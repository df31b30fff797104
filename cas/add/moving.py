"""`add --move`: sources are unlinked, each only when nothing can be lost by it any more.

By then the file's shards are durable and were read back from the backends, parity too, and compared
(`cas.add.readback`); a durable ref reaches it; and the source is still what was read. So a crash on
either side of an unlink leaves a file at its source, in the store, or in both. Whoever repeats the
command finishes it: what is stored already is read back again, not stored again.

What is unlinked is what was found below SRC under its own name, and no more: of a link that leaves
SRC the link, never its target; of a folder that such a link leads to nothing. Folders that become
empty go, SRC itself stays. Whatever stays although it was added is named.
"""

import contextlib
import os
import stat
from typing import Final

import trio
from blake3 import blake3

from ...errors import ModelFloatError
from ...ids import ObjectId, PackNumber
from ..formats.journal import RefKind
from ..formats.tree import Entry, EntryType
from ..progress import Progress
from .readback import ReadBack
from .report import AddReport
from .request import AddRequest, Reading
from .scan import Item
from .sources import Named
from .staged import Leaf
from .staging import Staging
from .unchanged import Unchanged

PIECE: Final = 1 << 20
AT_ONCE: Final = 4
"""Files that are read back at once."""


class Mover:
    """Unlinks the sources of one add. `first` is the first number that its packs may have."""

    def __init__(
        self,
        reading: Reading,
        request: AddRequest,
        staging: Staging,
        unchanged: Unchanged,
        report: AddReport,
        first: PackNumber,
    ) -> None:
        self._reading = reading
        self._request = request
        self._staging = staging
        self._unchanged = unchanged
        self._report = report
        self._first = first
        self._back = ReadBack(reading)
        self._roots = [os.path.realpath(os.fsencode(s)) for s in request.sources]
        # Files that have, or had, several names.
        self._linked: set[tuple[int, int]] = set()
        self._named = {os.fsencode(source) for source in request.sources}

    async def run(self, progress: Progress) -> None:
        """Move what can be moved; `report` says how much that was, and what stayed and why."""
        tree = await trio.to_thread.run_sync(self._tree)
        if tree is None:
            return
        problem = await self._back.new_packs(self._first)
        progress.total += progress.done
        leaves = self._staging.staged.files()

        async def work() -> None:
            for leaf in leaves:
                if leaf.manifest is not None:
                    why = problem or await self._move(leaf, leaf.manifest, tree)
                    if why:
                        self._stays(leaf.item.source, why)
                    progress.advance(leaf.item.size, os.fsdecode(leaf.item.source))

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)
        if not problem:
            await trio.to_thread.run_sync(self._tidy, tree)

    def _tree(self) -> ObjectId | None:
        """The tree of the branch, as the ref has it now."""
        head = self._reading.refs.head(self._report.repo, RefKind.BRANCH, self._report.branch)
        return None if head is None else self._reading.objects.commit(head.commit).tree

    async def _move(self, leaf: Leaf, manifest: ObjectId, tree: ObjectId) -> str:
        """Unlink one file; why it stays, "" when it went."""
        item = leaf.item
        entry = await trio.to_thread.run_sync(self._reading.objects.find, tree, item.path)
        if entry is None or entry.type is not EntryType.FILE or entry.object != manifest:
            return "the branch has something else there by now; add it again"
        if problem := await self._back.file(manifest):
            return problem
        why = await trio.to_thread.run_sync(self._unlink_file, item, manifest)
        if why == "":
            self._report.moved += 1
            self._report.moved_bytes += item.size
        return why or ""

    def _unlink_file(self, item: Item, manifest: ObjectId) -> str | None:
        """Unlink one source; why not, "" when it is done, None when somebody else has done it."""
        if not self._is_own(item.source):
            return "it lies in a folder elsewhere, which a link leads to"
        try:
            if not self._is_as_read(item, manifest):
                return "it changed after it was read; add it again"
            unlink(item.source)
        except FileNotFoundError:
            return None
        except OSError as error:
            return str(error.strerror)
        except ModelFloatError as error:
            return str(error)
        return ""

    def _is_as_read(self, item: Item, manifest: ObjectId) -> bool:
        """Whether a file, or what a link leads to, still is what was read."""
        if not self._has_same_status(item):
            return False
        if not self._unchanged.is_racy(item):
            return True
        # Its times may not tell of a change in the tick in which it was read.
        hasher = blake3()
        with Named(item), open(item.source, "rb", buffering=0) as file:
            while data := file.read(PIECE):
                hasher.update(data)
        same = hasher.digest() == self._reading.objects.manifest(manifest).blake3
        return same and self._has_same_status(item)

    def _has_same_status(self, item: Item) -> bool:
        now = os.stat(item.source)
        if now.st_nlink > 1:
            self._linked.add((now.st_dev, now.st_ino))
        # The ctime changes when another name of the same file is unlinked.
        times = (item.mtime_ns, item.ctime_ns)
        if (now.st_dev, now.st_ino) in self._linked:
            times = (item.mtime_ns, now.st_ctime_ns)
        then = (item.device, item.inode, item.size, *times)
        found = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        return stat.S_ISREG(now.st_mode) and found == then

    def _is_own(self, source: bytes) -> bool:
        """Whether a path was named, or lies below a folder that was, without a link between."""
        if source in self._named:
            return True
        folder = os.path.realpath(os.path.dirname(source))
        return any(folder == root or folder.startswith(root + b"/") for root in self._roots)

    # Links and folders

    def _tidy(self, tree: ObjectId) -> None:
        """Remove links that the tree has, then folders that are empty, from the deepest up."""
        folders = []
        for item in self._staging.folders_again():
            entry = self._reading.objects.find(tree, item.path)
            if entry is None or entry.type is not item.type:
                continue
            if item.type is EntryType.SYMLINK:
                self._unlink_link(item, entry)
            elif item.type is EntryType.DIRECTORY and self._is_own(item.source + b"/."):
                folders.append(item.source)
        for folder in reversed(folders):
            if folder not in self._named:
                # It may hold what was left out, what stayed, or what came meanwhile.
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def _unlink_link(self, item: Item, entry: Entry) -> None:
        if entry.target != item.link or not self._is_own(item.source):
            return
        try:
            unlink(item.source)
        except OSError as error:
            self._stays(item.source, str(error.strerror))

    def _stays(self, source: bytes, why: str) -> None:
        self._report.kept.append(f"{os.fsdecode(source)}: {why}")


def unlink(source: bytes) -> None:
    """Remove one name from its folder: the step that tests crash at."""
    os.unlink(source)
