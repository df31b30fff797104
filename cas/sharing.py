"""What is done for the sake of other sites: those who write to the same backends from elsewhere.

Leases on the ref home (`cas.lease`): `store` for who deletes, `moving` for who moves shards, `refs`
for who moves a ref. While no other site is known all of this is a record at the beginning, its
removal at the end, and a look whether another site has come.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

import trio

from ..errors import BackendError, BusyError, LeaseLostError, ModelFloatError, UnavailableError
from ..ids import BackendId, PackId, SiteId
from .index.index import Index
from .journal.journal import Journal
from .journal.news import tell_news
from .lease.clock import boottime
from .lease.home import condemned_ids, home_of, untried
from .lease.lease import Fence, Leases, unfenced
from .lease.mounts import MountSigns, Opened
from .lease.others import knows_others, note_others
from .lease.sessions import COMMIT_STEP, Session, open_session
from .lease.sites import (
    forget_unused,
    freshen,
    is_stale,
    known_sites,
    look,
    own_site,
)
from .packs.members import Member, Members

STORE: Final = "store"
"""The lease of whoever deletes."""
MOVING: Final = "moving"
"""The lease of whoever moves shards."""
REFS: Final = "refs"
"""The lease of whoever moves a ref."""
REFS_POLL: Final = 0.1
"""Seconds between two looks at it of who is next: a ref moves within a few requests."""

log = logging.getLogger(__name__)


def _require_soon(began: float) -> None:
    """LeaseLostError where what was seen at `began`, of `boottime`, may not be so any more."""
    if boottime() - began >= COMMIT_STEP:
        raise LeaseLostError(
            "this command stood still for too long before its ref moved: another site may have "
            "deleted what it relies on; run it again"
        )


@contextlib.asynccontextmanager
async def undisturbed(members: Members, folder: str, *, wait: bool) -> AsyncIterator[None]:
    """Keep other sites from deleting, as far as the ref home can be asked; `folder` has the lock
    files. LockedError where one does, and not `wait`."""
    home = home_of(members)
    async with contextlib.AsyncExitStack() as stack:
        if home is not None and home.health.writable:
            site = await trio.to_thread.run_sync(own_site, folder)
            leases = Leases(home.backend, members.store, site, STORE, folder=folder)
            try:
                await stack.enter_async_context(leases.held(wait=wait))
            except BackendError as error:
                log.info("%s; going on without the lease", error)
        yield


@dataclass(frozen=True, slots=True)
class Sharing:
    """A store as one of its sites shares it. `folder` has the lock files, `copies` is m+1; without
    `wait` a lease that another site has is LockedError."""

    folder: str
    index: Index
    members: Members
    copies: int
    wait: bool

    @contextlib.asynccontextmanager
    async def leased(self) -> AsyncIterator[Fence]:
        """Hold the lease of the store: whoever deletes, of all who share it; call what it yields
        before every such step.

        UnavailableError where others share the store and the ref home cannot decide.
        """
        shared = bool(await self._others())
        if shared:
            await forget_unused(self.members, await self.site())
        async with contextlib.AsyncExitStack() as stack:
            fence = unfenced
            try:
                home = self._home()
                # What is read-only stays as it is while nobody else is there to be told.
                if shared or home.health.writable:
                    leases = await self._leases(home, STORE)
                    lease = await stack.enter_async_context(leases.held(wait=self.wait))
                    fence = lease.require
            except BackendError:
                # Alone with it one may go on, as with any backend that is down.
                if shared:
                    raise
            yield fence

    @contextlib.asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Be the one who moves shards, of all who share the store, where the ref home decides that;
        two at once lose nothing, but move shards twice, and crowd them."""
        async with contextlib.AsyncExitStack() as stack:
            if await self._others():
                try:
                    leases = await self._leases(self._home(), MOVING)
                    await stack.enter_async_context(leases.held(wait=self.wait))
                except BackendError as error:
                    log.warning("%s; others may move shards now too", error)
            yield

    async def require_dispensable(self, leaving: BackendId) -> None:
        """BusyError where others share the store, and `leaving` is what decides between them."""
        home = home_of(self.members) or untried(self.members)
        if home is not None and home.id == leaving and await self._others():
            raise BusyError(
                f"other folders share this store's backends, and {home.name} decides who of them "
                "goes first: `modelfloat site forget` those that are gone for good; let nothing "
                "run in the others meanwhile, and say --force"
            )

    async def announce(self) -> set[SiteId]:
        """Make a site that joined known to others; those that are known."""
        others = await self._others()
        # Somebody made the store: who it was may not have announced himself yet.
        await trio.to_thread.run_sync(note_others, self.folder)
        await self.tell()
        return others

    async def tell(self) -> None:
        """Tell other sites, where there are any, what this one has recorded last."""
        if await trio.to_thread.run_sync(knows_others, self.folder):
            site = await self.site()
            await tell_news(self.members, self.index, self.folder, site, self.copies)

    async def site(self) -> SiteId:
        """This site's id."""
        return await trio.to_thread.run_sync(own_site, self.folder)

    @contextlib.asynccontextmanager
    async def session(self, journal: Journal, *, may_wait: bool = False) -> AsyncIterator[Session]:
        """Tell other sites that a journal's writer is at work, and learn what they have done.

        With `may_wait` they are told later where there is no room for it.
        """
        members, writer = self.members, journal.writer
        last, _ = self.index.writer(writer)
        site = await self.site()
        opened = open_session(members, site, writer, last, self.copies, may_wait=may_wait)
        async with opened as session:
            journal.cover = session.cover
            if await self._others():
                session.beside_others = True
                await self._meet(journal, session)
            yield session

    async def is_shared(self) -> bool:
        """Whether any backend that is up knows of another site; nothing is written."""
        known = await known_sites(self.members)
        return bool(known) and bool(known - {await self.site()})

    async def mounted(
        self, opened: Opened, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Tell other sites of a mount and of what is `opened` on it, until cancelled.

        Where this site has no name, for its folder cannot be written, that is said in the log.
        """
        try:
            await trio.Path(self.folder).mkdir(exist_ok=True)
            signs = MountSigns(self.members, await self.site(), self.copies, opened)
        except (ModelFloatError, OSError) as error:
            log.warning("%s; `gc` on other machines does not know of this mount", error)
            task_status.started()
            await trio.sleep_forever()
        await signs.run(task_status)

    @contextlib.asynccontextmanager
    async def refs(self, journal: Journal, session: Session | None) -> AsyncIterator[Fence]:
        """Keep other sites from moving refs, with all that they recorded applied.

        CondemnedError where they condemned what `session` relies on. Where they cannot be kept from
        it, a ref that moves here and there gets two heads.
        """
        async with contextlib.AsyncExitStack() as stack:
            fence: Fence = unfenced
            # Who met others when it began need not look for them again: it is beside them.
            if (session is not None and session.beside_others) or await self._others():
                lease, began = await self._refs_lease(stack), boottime()
                await self._meet(journal, session)

                def fence() -> None:
                    lease()
                    _require_soon(began)

            yield fence

    async def _meet(self, journal: Journal, session: Session | None) -> None:
        """Learn what other sites condemned, then what they recorded: who deleted a pack, and took
        the first away, had recorded it before."""
        if session is not None and session.lapsed:
            await session.refresh()
        condemned = await condemned_ids(self.members)
        await journal.take_over()
        if session is not None:
            relied = list(session.reliance.relied)
            gone = await trio.to_thread.run_sync(self._gone, relied, journal.held)
            session.reliance.refuse(condemned, gone)

    def _gone(self, packs: Sequence[PackId], held: AbstractSet[PackId]) -> frozenset[PackId]:
        """Those that were deleted. What is held the index lacks, but a session that did not count
        for a while keeps nobody from taking its shards for orphans: then a tombstone says so."""
        lacking = (pack for pack in packs if self.index.pack_of_id(pack) is None)
        return frozenset(p for p in lacking if p not in held or self.index.is_deleted(p))

    async def _others(self) -> set[SiteId]:
        """Other sites that share the store; this one is known to them from now on."""
        site = await self.site()
        again = await trio.to_thread.run_sync(is_stale, self.folder)
        others = await look(self.members, site, again=again)
        if again:
            await trio.to_thread.run_sync(freshen, self.folder)
        if others:
            await trio.to_thread.run_sync(note_others, self.folder)
        return others

    def _home(self) -> Member:
        home = home_of(self.members)
        if (doubtful := untried(self.members)) is not None:
            raise UnavailableError(
                f"other folders share this store's backends, and {doubtful.name} was not tried: it "
                "may be what decides who of them goes first; `modelfloat backend set` with its "
                "weight tries it"
            )
        if home is None:
            raise UnavailableError(
                "other folders share this store's backends, and none of these decides who of them "
                "goes first; add a backend with conditional puts, or, if those folders are gone "
                "for good, `modelfloat site forget` them"
            )
        if home.down:
            raise UnavailableError(
                f"other folders share this store's backends, and {home.name}, which decides who of "
                "them goes first, is down; bring it back, or, if those folders are gone for good, "
                "`modelfloat site forget` them"
            )
        return home

    async def _leases(self, home: Member, name: str) -> Leases:
        site, folder = await self.site(), self.folder
        return Leases(home.backend, self.index.store, site, name, folder=folder)

    async def _refs_lease(self, stack: contextlib.AsyncExitStack) -> Fence:
        try:
            leases = await self._leases(self._home(), REFS)
            leases = replace(leases, poll=REFS_POLL)
            return (await stack.enter_async_context(leases.held())).require
        except BackendError as error:
            log.warning("%s; a ref that others move now too gets two heads", error)
            return unfenced
