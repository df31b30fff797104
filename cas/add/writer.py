"""Adding: sources become chunks, packs, manifests, a tree, a commit, and last a moved ref.

Write order is `docs/format.md`'s: every shard durable, then the journal, then the index, and the
ref only after everything that it reaches. A crash anywhere before that leaves the branch as it was;
what was stored by then is found again by the next add.
"""

import time

import trio

from ...erasure.scheme import Scheme
from ..packs.storing import SPARE
from ..progress import Progress
from .committing import Committer, branch_of, check_names
from .estimate import TABLES, Load
from .filepass import FilePass
from .ingest import Ingest
from .preflight import check_room
from .report import AddReport
from .request import AddRequest, Writing
from .staging import Staging
from .unchanged import Unchanged


class Writer:
    """One add."""

    def __init__(self, writing: Writing, request: AddRequest, progress: Progress) -> None:
        self._w = writing
        self._request = request
        self._progress = progress
        self._report = AddReport(request.address.repo, branch_of(request))
        self._staging = Staging(writing, request, self._report.branch)

    async def run(self) -> AddReport:
        """Add everything; the branch moves at the very end."""
        started = time.monotonic()
        await trio.to_thread.run_sync(check_names, self._w.refs, self._request)
        await trio.to_thread.run_sync(self._staging.scan, self._report, self._progress)
        w, first = self._w, self._w.index.next_pack
        unchanged = Unchanged(w, self._request)
        if self._request.preflight:
            total = self._progress.total
            most = Load(total, self._report.files, tables=total // TABLES)
            await check_room(w, self._request, self._staging, unchanged, most)
        async with trio.open_nursery() as nursery:
            packer = w.packer(w.journal, nursery, spare_of(self._request, w.scheme))
            ingest = Ingest(w, self._request, packer, unchanged, self._report, self._progress)
            await FilePass(ingest, packer, self._staging).run()
            await unchanged.save()
            committer = Committer(w, self._request, self._staging, self._report)
            self._report.commit = await committer.run(ingest.put_objects, packer)
            packer.close()
        if self._request.move:
            from .moving import Mover  # here, because hardly an add moves its sources

            mover = Mover(w, self._request, self._staging, unchanged, self._report, first)
            await mover.run(self._progress)
        self._report.encoded, self._report.stored = packer.encoded, packer.stored
        self._report.seconds = time.monotonic() - started
        return self._report


def spare_of(request: AddRequest, scheme: Scheme) -> int:
    """How many shards more than k of a pack must be durable."""
    return SPARE if request.min_shards is None else max(0, request.min_shards - scheme.k)
