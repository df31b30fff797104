"""What an open store tells of itself: figures, its backends, its space, and what it survives.

Concurrency: used in the event loop; the index is read in worker threads.
"""

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import trio
import trio.from_thread

from ..erasure.scheme import Scheme
from ..errors import DamageError, IndexDamagedError
from .backenduse import ask_backends
from .index.index import Index
from .index.records import PackRecord
from .objects import Objects
from .packs.pool import Pool
from .packs.survival import Survival, layouts_of, survival
from .read.budget import MemoryBudget
from .read.counters import Fetches, ReadCounters
from .read.figures import BackendReads, ReadFigures
from .room import Room, room_of
from .statistics import Files, Statistics
from .storestats import BackendStatus, RepositoryStats, StoreStats
from .uncounted import count_packs
from .verify.scrublog import ScrubLog
from .verify.scrubstatus import ScrubStatus

log = logging.getLogger(__name__)


class Telling:
    """Tells of one store; `scheme` is that of its new packs."""

    def __init__(
        self,
        index: Index,
        objects: Objects,
        pool: Pool,
        scheme: Scheme,
        scrubs: ScrubLog,
        counters: ReadCounters,
        budget: MemoryBudget,
    ) -> None:
        self._index = index
        self._objects = objects
        self._pool = pool
        self._members = pool.members
        self._scheme = scheme
        self._scrubs = scrubs
        self._counters = counters
        self._budget = budget
        self._statistics = Statistics(index, objects, pool)

    async def stats(self, *, by_repository: bool | None = None) -> StoreStats:
        """Where the bytes are; `by_repository` too, by default where that is counted soon and
        nothing is in its way; who asks for it is told what is."""
        from .gc.usage import is_small

        packs = await trio.to_thread.run_sync(self._statistics.packs)
        backends = tuple(await self.backends(packs))
        counted = await count_packs(self._index, self._pool)
        files = await trio.to_thread.run_sync(self._statistics.files)
        survives = await self._survival(packs)
        found = await trio.to_thread.run_sync(
            self._statistics.collect, self._scheme, survives, backends, files, counted, packs
        )
        found = replace(found, scrub=await trio.to_thread.run_sync(self._scrubs.status, packs))
        wanted = is_small(found) if by_repository is None else by_repository
        try:
            return replace(found, by_repository=await self._usage(files)) if wanted else found
        except (DamageError, IndexDamagedError) as error:
            if by_repository:
                raise
            log.warning("what each repository takes is not counted: %s", error)
            return found

    async def _usage(self, files: Files) -> tuple[RepositoryStats, ...]:
        from .gc.usage import usage

        return await trio.to_thread.run_sync(
            usage, self._index, self._objects, files, trio.from_thread.check_cancelled
        )

    async def scrubbed(self) -> ScrubStatus:
        """How well the store is checked: the oldest check, the last full pass, the last run."""
        return await trio.to_thread.run_sync(self._scrubs.status)

    async def health(self) -> dict[str, str]:
        """What is known of the repositories that damage touches; see `Statistics.health`."""
        return await trio.to_thread.run_sync(self._statistics.health)

    async def names_of(self, wanted: AbstractSet[bytes]) -> dict[bytes, str]:
        """Paths of files by their BLAKE3, as far as found soon; see `Statistics.names_of`."""
        return await trio.to_thread.run_sync(self._statistics.names_of, wanted)

    async def backends(self, packs: Sequence[PackRecord] | None = None) -> list[BackendStatus]:
        """Every backend with its use and state; `packs` are all where the caller has them."""
        counts = await trio.to_thread.run_sync(self._statistics.by_backend, packs)
        return await ask_backends(self._members, counts)

    def figures(self) -> ReadFigures:
        """What reading has come to since the store was opened."""
        counted = self._counters.backends
        return ReadFigures(
            self._counters.counts(),
            self._counters.latency,
            self._budget.used,
            self._budget.limit,
            tuple(BackendReads.of(m, counted.get(m.id, Fetches())) for m in self._members),
        )

    async def room(self) -> Room:
        """The space for data in all, and what of it is free; what is stored where no one tells."""
        found = await room_of(self._members, self._scheme)
        if found is not None:
            return found
        return Room(await trio.to_thread.run_sync(self._statistics.encoded), 0)

    async def survives(self) -> str:
        """One line: what may be lost, of what is there now, without losing data."""
        return (await self._survival()).text

    async def _survival(self, packs: Sequence[PackRecord] | None = None) -> Survival:
        members = [member.candidate for member in self._members]
        up = {member.id for member in self._members.up()}
        layouts = await trio.to_thread.run_sync(
            lambda: layouts_of(self._index.packs() if packs is None else packs)
        )
        return survival(self._scheme, members, up, layouts)
