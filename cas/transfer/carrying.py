"""Commits of one repository carried into packs of another store: their chunks, then their objects.

Objects of several commits are done together: where the other store names things by another key, the
ids of all their chunks must be known first, and so everything that is on its way is waited for.
"""

from collections.abc import Sequence
from typing import Final

import trio
import trio.from_thread

from ...ids import ChunkId, ObjectId
from ..add.known import Known
from ..add.request import Reading
from ..formats.chunktable import Kind
from ..journal.journal import Journal
from ..packs.encoding import encode_objects
from ..progress import Progress
from ..store import Store
from .counterparts import Counterparts
from .frames import Frames
from .planning import note_walked
from .renaming import Renaming
from .report import TransferReport
from .selection import Selection
from .sending import Sending
from .walk import Walk, Walked

GROUP: Final = 2 << 20
"""Bytes of object ids of commits that are done together."""


class Carrying:
    """Carries commits from `source` to the store that `reading` is of, whose journal is open."""

    def __init__(
        self,
        source: Store,
        reading: Reading,
        journal: Journal,
        counterparts: Counterparts,
        report: TransferReport,
        progress: Progress,
    ) -> None:
        self._source = source
        self._reading = reading
        self._journal = journal
        self._counterparts = counterparts
        self._report = report
        self._progress = progress
        self._known = Known(reading)

    async def run(self, name: str, commits: Sequence[ObjectId]) -> None:
        """Carry commits of the repository `name`, parents first; all of it is in the index then."""
        source, reading = self._source, self._reading
        ids, report = reading.index.ids, self._report
        frames = Frames(source.index, source.pool, source.loader, ids)
        async with trio.open_nursery() as nursery:
            self._packer = reading.packer(self._journal, nursery)
            selection = Selection(self._known, self._counterparts)
            self._sending = Sending(
                frames, selection, self._counterparts, self._packer, report, self._progress
            )
            self._sending.start(nursery)
            await self._walk(name, commits)
            await self._packer.flush()
            self._sending.close()
            self._packer.close()
        report.sent, report.stored = self._packer.encoded, self._packer.written
        report.encoded_anew = frames.anew

    async def _walk(self, name: str, commits: Sequence[ObjectId]) -> None:
        steps = Walk(self._source.index, self._source.objects, name).steps(commits)
        walked: list[Walked] = []
        while (step := await trio.to_thread.run_sync(next, steps, None)) is not None:
            if not isinstance(step, Walked):
                await self._sending.send(step.refs)
                continue
            note_walked(self._report, step)
            walked.append(step)
            if sum(len(each.objects) for each in walked) >= GROUP:
                await self._finish(walked)
                walked = []
        await self._finish(walked)

    async def _finish(self, walked: Sequence[Walked]) -> None:
        """Carry the objects of commits, whose chunks are on their way."""
        await self._sending.drain()
        objects = self._source.objects
        ids = self._reading.index.ids

        def work() -> int:
            renaming = Renaming(objects, self._known, ids, self._counterparts, self._put_now)
            return sum(renaming.carry(each.objects) for each in walked)

        self._report.objects += await trio.to_thread.run_sync(work)

    def _put_now(self, objects: Sequence[bytes]) -> None:
        trio.from_thread.run(self._put, objects)

    async def _put(self, objects: Sequence[bytes]) -> None:
        ids = self._reading.index.ids
        by_id = await trio.to_thread.run_sync(lambda: {ids.object(data): data for data in objects})
        pending = self._packer.pending[Kind.OBJECT]
        new = {id_: data for id_, data in by_id.items() if ChunkId(id_) not in pending}
        pending.update(ChunkId(id_) for id_ in new)
        chunks = await trio.to_thread.run_sync(encode_objects, new)
        await self._packer.put_objects(chunks, new)
