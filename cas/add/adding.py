"""What a store is asked to add, taken to a `Writer`: under which scheme, in a session, and once
more where another site condemned what it relied on."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from ...erasure.scheme import Scheme
from ...errors import one_failure
from ..access import Access
from ..history.moving import move_ref
from ..journal.journal import Journal
from ..lease.reliance import CondemnedError, Reliance
from ..objects import Objects
from ..progress import Progress
from ..refs import Refs
from ..schemes import own_scheme
from .committing import branch_of
from .preflight import plan
from .report import AddPlan, AddReport
from .request import AddRequest, Reading
from .writer import Writer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Adding:
    """Adds to one store, whose packs are of `scheme` unless a repository has its own.

    `complete` makes shards that earlier packs lack, `survives` tells what may be lost.
    """

    access: Access
    objects: Objects
    refs: Refs
    scheme: Scheme
    complete: Callable[[Journal], Awaitable[int]]
    survives: Callable[[], Awaitable[str]]

    async def run(self, request: AddRequest, progress: Progress) -> AddReport:
        """Store what is asked for and move the branch."""
        with one_failure():
            async with self.access.in_session("modelfloat add") as (journal, session):
                reading = await self._readable(request, session.reliance)
                writing = reading.writing(
                    journal, lambda moves: move_ref(self.access, journal, moves, session)
                )
                while True:
                    try:
                        report = await Writer(writing, request, progress).run()
                        break
                    except* CondemnedError as again:
                        log.info("adding once more: %s", again.exceptions[0])
                        progress.done = 0
                report.completed = await self.complete(journal)
                report.survives = await self.survives() if request.erasure else ""
                return report

    async def plan(self, request: AddRequest) -> AddPlan:
        """What `run` would do; nothing is changed."""
        with one_failure():
            return await plan(await self._readable(request, Reliance()), request)

    async def _readable(self, request: AddRequest, reliance: Reliance) -> Reading:
        def own() -> Scheme | None:
            return own_scheme(self.refs, self.objects, request.address.repo, branch_of(request))

        scheme = request.erasure or await trio.to_thread.run_sync(own) or self.scheme
        return Reading.of(self.access, self.refs, self.objects, self.scheme, scheme, reliance)
