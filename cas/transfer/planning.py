"""What a transfer would take: commits, files, chunks that are missing, counted and not sent.

Memory: a bit for each chunk of the store that sends, which tells a chunk that was counted.
"""

import trio
import trio.from_thread

from ...errors import QuotaError
from ...ids import ObjectId
from ..add.estimate import Load
from ..add.known import Known
from ..add.preflight import look
from ..add.request import Reading
from ..gc.marks import Marks
from ..gc.standing import Standing
from ..store import Store
from .counterparts import Counterparts
from .report import TransferReport
from .selection import Selected, Selection
from .walk import Walk, Walked


class Planning:
    """Counts what is missing in one store of another one's commits."""

    def __init__(self, source: Store, reading: Reading, counterparts: Counterparts) -> None:
        self._source = source
        self._reading = reading
        self._selection = Selection(Known(reading), counterparts)
        self._marks = Marks(source.index, Standing(source.pool).ranking)

    def count(self, name: str, commits: list[ObjectId], report: TransferReport) -> None:
        """Add to a report what commits would take, of the repository `name`; in a worker thread."""
        source = self._source
        for step in Walk(source.index, source.objects, name).steps(commits):
            trio.from_thread.check_cancelled()
            if isinstance(step, Walked):
                note_walked(report, step)
            else:
                self._count(self._selection.lacking(self._selection.named(step.refs)), report)
        report.sent += int(self._marks.bytes.sum())

    def _count(self, left: Selected, report: TransferReport) -> None:
        sizes = {bytes(ref.id): ref.raw for ref in left.refs}
        unknown = {bytes(ref.id) for ref in left.unknown}
        marked = self._marks.mark(sizes)
        for id_ in (*marked.new, *marked.nowhere):
            report.chunks += 1
            report.missing += sizes[id_]
            report.unknown += sizes[id_] if id_ in unknown else 0

    async def check_room(self, planned: TransferReport) -> None:
        """QuotaError where what was counted is not going to fit."""
        share = planned.sent / planned.missing if planned.missing else 1.0
        load = Load(planned.missing, planned.files, min(1.0, share))
        if problem := (await look(self._reading, load)).problem:
            raise QuotaError(problem)


def note_walked(report: TransferReport, walked: Walked) -> None:
    """Count a commit that was walked."""
    report.commits += 1
    report.files += walked.files
    report.logical += walked.size
