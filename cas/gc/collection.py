"""Collecting garbage: what nothing needs any more is found, condemned, and deleted.

1. Mark, while others read and add: everything that the refs reach, that removed or moved refs of
   the grace period reach, and the files that are open on mounts.
2. Condemn the packs of which nothing is marked.
3. Alone with the store: bring the index up to date with every journal, mark again from the refs as
   they are now, and delete those packs that are dead still. Also what earlier collections left,
   orphaned shards, and objects in the mirror that nothing reaches.
4. Beside others again: copy what is needed of sparse and small packs into new ones.
5. Alone: mark again and delete the packs that were copied.
6. Beside others: compact the journal.

An add relies on what it finds stored only while it shares the store; so between 3's marking and
deleting nobody does, and whatever was relied on before is reached from a ref by then, or was given
up. `docs/decisions/` says why that is enough on one machine.
"""

import logging
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import trio
import trio.from_thread

from ...erasure.scheme import Scheme
from ...errors import (
    BackendError,
    ModelFloatError,
    UnavailableError,
    first_failure,
    one_failure,
)
from ...ids import ChunkId, ObjectId, SiteId, WriterId
from ..access import Access
from ..index.index import Index
from ..journal.completeness import refuse_down
from ..journal.journal import Journal
from ..lease.lease import Fence, unfenced
from ..lease.sessions import UNKNOWN
from ..lease.sites import known_site
from ..locks import locked
from ..objects import Objects
from ..packs.pool import Pool
from ..reserve import is_full
from .census import Census
from .collected import FindInUse, GcReport
from .compaction import compact, plan
from .condemning import pardon
from .elsewhere import Elsewhere
from .orphans import Orphan, Orphans
from .others import Others
from .rewriting import Copied, Rewriter
from .sweeping import TOMBSTONES, Sweeper

WHAT: Final = "modelfloat gc"
CONDEMNED: Final = 2000
"""Packs whose records are in memory at once while they are condemned."""
FIRST: Final = 16
GROWTH: Final = 8
"""Where room is scarce: packs that are condemned and deleted first, and so many times more each
time after that. What goes makes room for the records of the next."""

log = logging.getLogger(__name__)


class Collection:
    """One collection. What it does is added to `report`, and with its `dry_run` nothing is done.

    `grace` is seconds; `find_in_use` tells which files are open on mounts. Where room is `scarce`
    it deletes little by little.
    """

    def __init__(
        self,
        access: Access,
        scheme: Scheme,
        objects: Objects,
        report: GcReport,
        grace: float,
        find_in_use: FindInUse,
        *,
        accept_losses: bool = False,
        scarce: bool = False,
    ) -> None:
        self._access = access
        self._index: Index = access.index
        self._pool: Pool = access.pool
        self._scheme = scheme
        self._objects = objects
        self._grace = grace
        self._find_in_use = find_in_use
        self._since_ns = time.time_ns() - int(min(grace, time.time()) * 1e9)
        self._fence: Fence = unfenced
        members = access.pool.members
        self._sweeper = Sweeper(access.index, members, access.copies, self._require)
        self._orphans = Orphans(access.index, access.pool, grace, self._require)
        self._report = report
        self._accept_losses = accept_losses
        self._scarce = scarce

    async def run(self) -> GcReport:
        """Collect, and say what was done."""
        started = time.monotonic()
        with one_failure():
            self._report.begin()
            if self._report.dry_run:
                await self._plan()
            else:
                if not self._accept_losses:
                    refuse_down(self._pool.members, self._access.copies)
                await trio.Path(self._access.lock("")).mkdir(exist_ok=True)
                lock = locked(self._access.lock("gc"), wait=self._access.wait, what=WHAT)
                async with lock, self._access.sharing.leased() as self._fence:
                    self._meet(await self._access.sharing.site())
                    await self._collect()
        self._report.seconds = time.monotonic() - started
        return self._report

    def _meet(self, site: SiteId) -> None:
        others = Others(self._pool.members, site, self._access.lock(""), self._access.copies)
        self._elsewhere = Elsewhere(others, self._grace, self._find_in_use)

    def _require(self) -> None:
        self._fence()

    async def _plan(self) -> None:
        site = await trio.to_thread.run_sync(known_site, self._access.lock(""))
        self._meet(site or UNKNOWN)
        self._report.refused = self._absent() or await self._elsewhere.glance()
        await self._begin()
        dead, sparse, small = await trio.to_thread.run_sync(self._census.selected)
        if self._pool.members.down():
            self._report.skipped, sparse, small = len({*sparse, *small}), [], []
        self._note_deleted(dead)
        self._note_replaced({*sparse, *small}, set(small))
        self._report.note_written(self._census.needed_of((*sparse, *small)))
        self._report.note_orphans([orphan.size for orphan in await self._orphans.find()])
        await self._plan_compaction()

    def _absent(self) -> str:
        """Why so few backends are up that nothing would be deleted; "" where that is not so."""
        if not self._accept_losses:
            try:
                refuse_down(self._pool.members, self._access.copies)
            except UnavailableError as error:
                return str(error)
        return ""

    async def _collect(self) -> None:
        # Before anything is marked: who comes later sees what is condemned, or removed, by then.
        await self._elsewhere.look()
        await self._begin()
        await self._elsewhere.look()
        await self._keep_theirs()
        dead = await trio.to_thread.run_sync(self._selection.dead)
        if self._scarce:
            await self._sweeper.pardon()
        *parts, last = _parts(dead, FIRST if self._scarce else len(dead))
        for part in parts:
            await self._condemn(part)
            async with self._access.writing(WHAT, alone=True) as journal:
                await self._again(journal)
                self._note_deleted(await self._delete(journal, part))
        await self._condemn(last)
        orphans = await self._orphans.find()
        async with self._access.writing(WHAT, alone=True) as journal:
            await self._again(journal)
            self._note_deleted(await self._delete(journal, last))
            await self._clean(journal, orphans)
        await self._rewrite()
        try:
            await self._compact()
        except Exception as error:
            # What had to go is gone: that shall not be done again for want of room to tidy up.
            if not is_full(error):
                raise
            log.warning("%s: the journal is not compacted now", first_failure(error) or error)

    async def _compact(self) -> None:
        """Make few large journal records of many small ones."""
        last = await self._last()
        # Looked at after that: what a session has recorded that begins later is behind these.
        await self._elsewhere.see()
        limits = self._elsewhere.settled(last)
        done = await compact(self._access, self._require, self._since_ns, limits)
        self._report.compacted, self._report.segments = done.records, done.segments

    async def _plan_compaction(self) -> None:
        last = await self._last()
        done = await plan(self._access, self._since_ns, self._elsewhere.settled(last))
        self._report.compacted, self._report.segments = done.records, done.segments

    async def _last(self) -> dict[WriterId, int]:
        """The last number of each writer that the index knows."""
        return await trio.to_thread.run_sync(
            lambda: {writer: self._index.writer(writer)[0] for writer in self._index.writers()}
        )

    async def _condemn(self, rows: Sequence[int]) -> None:
        """Announce what is to go, and give writers elsewhere, who may rely on it, time to see."""
        for start in range(0, len(rows), CONDEMNED):
            part = rows[start : start + CONDEMNED]
            packs = await trio.to_thread.run_sync(self._census.records, part)
            self._require()
            await self._sweeper.condemn(packs)
        if rows:
            await self._elsewhere.let_finish(wait=self._access.wait)

    async def _keep_theirs(self) -> None:
        """What they have stored is not garbage, though no ref reaches it yet."""
        packs = await self._elsewhere.stored()
        await trio.to_thread.run_sync(self._selection.keep_packs, packs)

    # Marking

    async def _begin(self) -> None:
        self._census = await trio.to_thread.run_sync(
            Census,
            self._index,
            self._objects,
            self._pool,
            self._scheme,
            self._grace,
            self._since_ns,
            self._elsewhere.in_use,
        )
        self._selection = self._census.selection
        await trio.to_thread.run_sync(self._census.mark)
        self._report.kept = await trio.to_thread.run_sync(self._census.mark_in_use)
        await self._selection.spare_young()
        self._report.young = self._selection.young

    async def _again(self, journal: Journal) -> None:
        """Mark what the refs have come to reach since, with nobody else at work.

        All of it where what was marked may not be the best any more.
        """
        await self._elsewhere.look()
        await journal.require_complete(accept_losses=self._accept_losses)
        await self._keep_theirs()
        await trio.to_thread.run_sync(self._census.mark_more)
        await trio.to_thread.run_sync(self._census.mark_in_use)

    # Deleting

    async def _delete(self, journal: Journal, rows: Sequence[int]) -> set[int]:
        """Delete the condemned packs in `rows` that nothing needs now, and pardon the others; the
        rows of those that were deleted."""
        gone: set[int] = set()
        for start in range(0, len(rows), TOMBSTONES):
            batch = rows[start : start + TOMBSTONES]
            packs, spared = await trio.to_thread.run_sync(self._census.judge, batch)
            self._report.pending += await self._sweeper.delete(journal, list(packs.values()))
            gone |= packs.keys()
            for pack in spared:
                self._require()
                await pardon(self._pool.members, pack.id)
        return gone

    async def _clean(self, journal: Journal, orphans: Sequence[Orphan]) -> None:
        """What earlier collections and crashed adds left, and objects that nothing reaches."""
        self._report.pending = await self._sweeper.finish(journal, beside=self._elsewhere.writers)
        # What another site is storing looks like an orphan until it is recorded.
        gone = [] if self._elsewhere.writers else await self._orphans.delete(journal, orphans)
        self._report.note_orphans([orphan.size for orphan in gone])
        batches = await trio.to_thread.run_sync(lambda: iter(self._index.object_ids()))
        while ids := await trio.to_thread.run_sync(next, batches, None):
            await self._forget(ids)

    async def _forget(self, ids: Sequence[ObjectId]) -> None:
        needed = await trio.to_thread.run_sync(self._census.marking.is_needed, ids)
        # Those of a pack that stays are kept with it: an add that finds them there relies on both.
        rest = [id_ for id_ in ids if id_ not in needed]
        stored = await trio.to_thread.run_sync(self._index.locate, [ChunkId(id_) for id_ in rest])
        dead = [id_ for id_, places in zip(rest, stored, strict=True) if not places]
        if dead:
            await self._index.write(self._index.drop_objects, dead)

    # Rewriting

    async def _rewrite(self) -> None:
        # What was marked anew may make others worth it, whose age nobody has asked for.
        await self._selection.spare_young()
        _, sparse, merging = await trio.to_thread.run_sync(self._census.selected)
        small, waiting = set(merging), {*sparse, *merging}
        rows = sorted(waiting)
        for batch in await trio.to_thread.run_sync(lambda: list(self._selection.batches(rows))):
            if self._pool.members.down():
                down = ", ".join(sorted(member.name for member in self._pool.members.down()))
                self._leave(len(waiting), f"with {down} down new packs would survive less")
                return
            try:
                done = await self._copy(batch)
            except ModelFloatError as error:
                if not isinstance(error, BackendError) and not is_full(error):
                    raise
                self._leave(len(waiting), error)
                return
            gone = await self._replace(done)
            waiting -= set(batch)
            self._report.skipped += len(batch) - len(gone)
            self._note_replaced(gone, small)

    def _leave(self, count: int, why: object) -> None:
        self._report.skipped += count
        log.warning("%s: %d packs are not rewritten now", why, count)

    async def _copy(self, rows: Sequence[int]) -> list[Copied]:
        async with self._access.writing(WHAT) as journal:
            victims = [
                victim
                for row in rows
                if (victim := await trio.to_thread.run_sync(self._selection.victim, row))
            ]
            rewriter = Rewriter(self._index.store, self._scheme, self._index, self._pool, journal)
            result = await rewriter.run(victims)
        self._report.merged_into += result.packs
        self._report.note_written(result.written)
        return result.done

    async def _replace(self, copies: Sequence[Copied]) -> set[int]:
        """Delete packs that were copied, unless an add has come to need more of them, or they are
        safer than what they were copied to; the rows of those that were deleted."""
        if not copies:
            return set()
        await self._condemn([copied.victim.row for copied in copies])
        for copied in copies:
            self._census.marks.clear(copied.victim.row)
        async with self._access.writing(WHAT, alone=True) as journal:
            await self._again(journal)
            await trio.to_thread.run_sync(self._census.keep_safer, copies)
            return await self._delete(journal, [copied.victim.row for copied in copies])

    # What the report says

    def _note_deleted(self, rows: Sequence[int] | AbstractSet[int]) -> None:
        self._report.note_deleted(len(rows), self._census.stored_in(rows))

    def _note_replaced(self, rows: AbstractSet[int], small: AbstractSet[int]) -> None:
        merged, rewritten = rows & small, rows - small
        self._report.note_merged(len(merged), self._census.stored_in(merged))
        self._report.note_rewritten(len(rewritten), self._census.stored_in(rewritten))


def _parts(rows: Sequence[int], first: int) -> list[Sequence[int]]:
    """`rows` in parts, `first` in the first, GROWTH times as many in each after; one at least."""
    parts: list[Sequence[int]] = [rows[:first]]
    done, size = first, first
    while done < len(rows):
        size *= GROWTH
        parts.append(rows[done : done + size])
        done += size
    return parts
