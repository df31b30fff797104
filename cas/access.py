"""Who may write to a store, and when: the lock table.

    locks/store      shared: add, verify --repair, rm      alone: gc's sweep, rebuild-index
    locks/gc         alone: gc, from its first look at the refs to its last delete
    locks/moving     alone: backend drain, rm and rebalance: two could take turns with one shard
    locks/refs       alone: whoever moves a ref, for the moment in which it moves
    locks/config     alone: whoever changes config.toml
    locks/places-X   alone: whoever records where a shard lies now, or deletes it where it lay; X is
                     the first digit of its pack's id
    locks/settling   alone: whoever settles slots of crashed writers, or takes one
    locks/writer-N   alone: whoever has a journal open; its number is a slot (`cas.journal.slots`)

They are taken in this order: gc, moving, store, refs, places-X, settling, writer-N; a writer-N
stays held when a ref moves later, for whoever settles waits for none. Nobody who only reads takes
any of them.
"""

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import trio

from ..backends.marker import KNOWN_RO_COMPAT, read_marker
from ..errors import BackendError, FormatError, one_failure
from ..ids import ObjectId
from .capacity import count_use
from .formats.journal import PackStored, RefChanged
from .index.index import Index
from .journal.catchup import CatchUp
from .journal.follower import Follower
from .journal.journal import Journal, open_journal
from .journal.pace import ROUND, Pace
from .lease.lease import Fence
from .lease.sessions import Session
from .locks import locked
from .packs.members import Member
from .packs.objectpacks import read_objects
from .packs.pool import Pool
from .sharing import Sharing
from .signing.signer import GetSigner


@dataclass(frozen=True, slots=True)
class Access:
    """Takes the locks of the store in the folder `path`.

    `copies` is m+1, the copies of a journal record. Without `wait` a lock that another process
    holds is LockedError. `signing` gets what ref changes are
    signed by, where they are.
    """

    path: str
    index: Index
    pool: Pool
    copies: int
    wait: bool
    signing: GetSigner | None = None

    def signed(self, change: RefChanged, last_ns: int) -> RefChanged:
        """A ref change as it is to be recorded: signed, where refs are; `last_ns` is when the
        latest one was that is known. UsageError where the key cannot be had; blocks."""
        if self.signing is None:
            return change
        return self.signing().sign_after(self.index.store, change, last_ns)

    def lock(self, name: str) -> str:
        """The lock file of that name."""
        return os.path.join(self.path, "locks", name)

    @contextlib.asynccontextmanager
    async def writing(
        self, what: str, *, alone: bool = False, told: bool = True
    ) -> AsyncIterator[Journal]:
        """Write to the store, beside others or alone, with a journal of one's own.

        `what` names the work for those who wait. Beside others a session tells other sites of it,
        unless nothing is stored and it is not to be `told`. FormatError where a newer release
        forbids this one to write, ConflictError where the index was made anew since it was opened.
        """
        await self._check_writable()
        await trio.Path(self.lock("")).mkdir(exist_ok=True)
        async with locked(self.lock("store"), shared=not alone, wait=self.wait, what=what):
            # While we waited for the lock rebuild-index may have had it.
            self.index.check_current()
            # And `backend rm`: what is put on a backend that has gone from the list would be lost.
            await self.pool.members.refresh()
            await count_use(self.index, self.pool.members)
            async with contextlib.AsyncExitStack() as stack:
                journal = await stack.enter_async_context(self._open_journal())
                if told and not alone:
                    session = self.sharing.session(journal, may_wait=True)
                    await stack.enter_async_context(session)
                yield journal
                if journal.written:
                    await self.sharing.tell()

    @contextlib.asynccontextmanager
    async def moving(self, what: str) -> AsyncIterator[Journal]:
        """Write to the store beside others, as the only one who moves shards."""
        await trio.Path(self.lock("")).mkdir(exist_ok=True)
        async with (
            locked(self.lock("moving"), wait=self.wait, what=what),
            self.sharing.moving(),
            # What they moved is taken over now.
            self.writing(what) as journal,
        ):
            yield journal

    @contextlib.asynccontextmanager
    async def in_session(self, what: str) -> AsyncIterator[tuple[Journal, Session]]:
        """`writing` beside others, with the session that tells of it. UsageError where refs are to
        be signed and the key cannot be had: before anything is stored."""
        if self.signing is not None:
            await trio.to_thread.run_sync(self.signing)
        async with (
            self.writing(what, told=False) as journal,
            self.sharing.session(journal) as session,
        ):
            yield journal, session

    @contextlib.asynccontextmanager
    async def refs(self, journal: Journal, session: Session | None = None) -> AsyncIterator[Fence]:
        """Hold the refs while one moves, with all that was recorded before applied; others do so
        for a moment only, so it always waits. What it yields is called right before that.

        CondemnedError where other sites condemned what `session` relies on.
        """
        async with (
            locked(self.lock("refs"), what="a ref moves"),
            self.sharing.refs(journal, session) as fence,
        ):
            # What a crashed writer had made durable counts before anybody looks.
            await journal.catch_up_others()
            yield fence

    @property
    def sharing(self) -> Sharing:
        """What is done for the sake of other sites."""
        return Sharing(self.lock(""), self.index, self.pool.members, self.copies, self.wait)

    @property
    def follower(self) -> Follower:
        """Takes over what other sites record, for who only reads."""
        catch_up = CatchUp(
            self.lock(""),
            self.index.store,
            self.index,
            self.pool.members,
            self.copies,
            self._read_objects,
            pace=Pace(ROUND),
        )
        return Follower(catch_up, self.lock("store"))

    def _open_journal(self) -> AbstractAsyncContextManager[Journal]:
        return open_journal(
            self.lock(""),
            self.index.store,
            self.index,
            self.pool.members,
            self.copies,
            self._read_objects,
        )

    async def _check_writable(self) -> None:
        newer: list[str] = []

        async def ask(member: Member) -> None:
            try:
                marker = await read_marker(member.backend)
            except BackendError as error:
                # One that went away since the store was opened is down, and no more than that.
                self.pool.members.note_failure(member, error)
                return
            if (marker.store, marker.backend) == (self.index.store, member.id):
                member.marker = marker  # it may tell of other backends than when it was opened
            if marker.ro_compat & ~KNOWN_RO_COMPAT:
                newer.append(member.name)

        with one_failure():
            async with trio.open_nursery() as nursery:
                for member in self.pool.members.up():
                    nursery.start_soon(ask, member)
        for name in newer:
            raise FormatError(
                f"backend {name}: a newer release keeps this one from writing; upgrade"
            )

    async def _read_objects(self, stored: PackStored) -> dict[ObjectId, bytes]:
        return await read_objects(self.pool, stored)
