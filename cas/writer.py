"""Adding: sources become chunks, packs, manifests, a tree, a commit, and last a moved ref.

Write order is `docs/format.md`'s: every shard durable, then the journal, then the index, and the
ref only after everything that it reaches. A crash anywhere before that leaves the branch as it was;
what was stored by then is found again by the next add.
"""

import time
from collections.abc import Iterator
from typing import Generic, TypeVar

import trio

from ..errors import SourceChangedError, SourceUnreadableError
from .committing import Committer, branch_of, check_names
from .ingest import Ingest
from .largefiles import LargeFiles
from .packer import Packer
from .reports import AddReport, Progress
from .request import AddRequest, Writing
from .smallfiles import BATCHES, SMALL_FILE, Failure, SmallFiles, batches
from .staged import Leaf
from .staging import Staging

_T = TypeVar("_T")


class Writer:
    """One add."""

    def __init__(self, writing: Writing, request: AddRequest, progress: Progress) -> None:
        self._w = writing
        self._request = request
        self._progress = progress
        self._report = AddReport(request.address.repo, branch_of(request))
        self._staging = Staging(writing, request, self._report.branch)
        self._failure: Failure | None = None

    async def run(self) -> AddReport:
        """Add everything; the branch moves at the very end."""
        started = time.monotonic()
        await trio.to_thread.run_sync(check_names, self._w.refs, self._request)
        await trio.to_thread.run_sync(self._staging.scan, self._report, self._progress)
        async with trio.open_nursery() as nursery:
            w = self._w
            packer = Packer(w.store, w.scheme, w.pool, w.journal, nursery)
            ingest = Ingest(w, self._request, packer, self._report, self._progress)
            await self._ingest(ingest)
            committer = Committer(w, self._request, self._staging, self._report)
            self._report.commit = await committer.run(ingest.put_objects, packer.flush)
            packer.close()
        self._report.encoded, self._report.stored = packer.encoded, packer.stored
        self._report.seconds = time.monotonic() - started
        return self._report

    async def _ingest(self, ingest: Ingest) -> None:
        """Large files one after the other, small ones in batches beside them."""
        staged = self._staging.staged
        large = _Turns(leaf for leaf in staged.files() if leaf.item.size > SMALL_FILE)
        small = _Turns(batches(leaf for leaf in staged.files() if leaf.item.size <= SMALL_FILE))
        large_files, small_files = LargeFiles(ingest), SmallFiles(ingest)

        async def add_large() -> None:
            while leaf := await large.next():
                try:
                    await large_files.add(leaf)
                except (SourceChangedError, SourceUnreadableError) as error:
                    self._leave_out(leaf, error)

        async def add_small() -> None:
            while batch := await small.next():
                for leaf, error in await small_files.add(batch):
                    self._leave_out(leaf, error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add_large)
            for _ in range(BATCHES):
                nursery.start_soon(add_small)
        if self._failure is not None and not self._report.files:
            raise self._failure

    def _leave_out(self, leaf: Leaf, error: Failure) -> None:
        """A file whose bytes cannot be had as they are goes into no commit; the others do."""
        self._staging.leave_out(leaf)
        self._failure = self._failure or error
        self._report.failed.append(str(error))
        self._report.files -= 1


class _Turns(Generic[_T]):
    """An iterator that several tasks take from; each step runs in a worker thread."""

    def __init__(self, source: Iterator[_T]) -> None:
        self._source = source
        self._turn = trio.Lock()

    async def next(self) -> _T | None:
        """The next one, None at the end."""
        async with self._turn:
            return await trio.to_thread.run_sync(next, self._source, None)
