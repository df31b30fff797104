"""Sessions: records on the backends that a writer is at work, for who collects garbage elsewhere.

A session's record is durable before the first pack, lies on m+1 backends as a journal record does,
is written again and again, and removed at the end. While it counts nobody deletes what the writer
has stored, and what it may rely on only after it has had the time to look (`docs/decisions/`).

Concurrency: one task writes the records again, another works; `_until` belongs to the event loop.
"""

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import trio

from ...backends.keys import session_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, QuotaError
from ...ids import BackendId, SiteId, WriterId
from ..formats.presence import Presence, PresenceRecord, encode_presence
from ..packs.members import Member, Members
from ..packs.placement import UNLIMITED, Crowding, place
from .clock import Clock, boottime
from .reliance import Reliance

TERM: Final = 300
"""Seconds without a new record after which a session counts no more."""
RENEWALS: Final = 4
"""Times a term that the record is written."""
SOON: Final = 1.0
"""Seconds until that is tried again where it could not be."""
COMMIT_STEP: Final = 600.0
"""Longest time, in seconds, from a writer's last look at what is condemned to its ref's move."""
CLEANUP: Final = 10.0
"""Seconds that removing the records at the end may take."""

log = logging.getLogger(__name__)


class Session:
    """One writer's session. `copies` is m+1. Use `open_session`.

    With `may_wait` it goes on untold where there is no room for its record: a repair mends what it
    can, and says what it cannot.
    """

    def __init__(
        self,
        members: Members,
        site: SiteId,
        copies: int,
        clock: Clock = boottime,
        *,
        may_wait: bool = False,
    ) -> None:
        self._members = members
        self._site = site
        self._copies = copies
        self._clock = clock
        self._may_wait = may_wait
        self._until = clock()
        self._records: dict[WriterId, PresenceRecord] = {}
        self._where: dict[WriterId, set[BackendId]] = {}
        self.reliance = Reliance()

    @property
    def site(self) -> SiteId:
        """The site that it is a session of."""
        return self._site

    @property
    def lapsed(self) -> bool:
        """Whether it may have counted no more for a while."""
        return self._clock() >= self._until

    async def cover(self, writer: WriterId, last: int) -> None:
        """Make it known, durably, that a writer stores what follows its record `last`.

        With no backend to be told by nothing can be stored either: `keep` does it when one is up.
        """
        begun = self._clock()
        self._records[writer] = PresenceRecord(
            Presence.SESSION, self._members.store, self._site, bytes(writer), last, TERM
        )
        try:
            told = await self._write(writer)
        except QuotaError as error:
            if not self._may_wait:
                raise
            log.info("%s: the session is told when there is room", error)
            told = False
        if told and len(self._records) == 1:
            self._until = begun + TERM

    async def refresh(self) -> None:
        """Write the records again; what a backend said where too few took one."""
        begun = self._clock()
        told = [await self._write(writer) for writer in list(self._records)]
        if all(told):
            self._until = begun + TERM

    async def keep(self) -> None:
        """Refresh for as long as the session is open."""
        while True:
            await trio.sleep(SOON if self.lapsed else TERM / RENEWALS)
            try:
                await self.refresh()
            except BackendError as error:
                log.info("%s: the session is not told anew", error)

    async def close(self) -> None:
        """Remove the records; those that cannot be go by themselves."""
        with trio.move_on_after(CLEANUP, shield=True):
            async with trio.open_nursery() as nursery:
                for writer, where in self._where.items():
                    for id_ in where:
                        nursery.start_soon(self._remove, writer, id_)

    async def _write(self, writer: WriterId) -> bool:
        """Lay a writer's record on m+1 backends while they last, on others where some fail; False
        where none can be written to."""
        up = {m.id: m for m in self._members.recording(self._copies)}
        if not up:
            return False
        held = self._where.setdefault(writer, set())
        targets = place(writer, [m.candidate for m in up.values()], self._copies)
        tried, failures, done = set[BackendId](), list[BackendError](), set[BackendId]()

        async def put(member: Member) -> None:
            try:
                data = encode_presence(self._records[writer])
                held.add(member.id)
                await RetryBackend(member.backend).put(session_key(writer), [data])
                done.add(member.id)
            except BackendError as error:
                self._members.note_failure(member, error)
                failures.append(error)

        wanted = len(set(targets))
        while targets:
            tried.update(targets)
            async with trio.open_nursery() as nursery:
                for where in set(targets):
                    nursery.start_soon(put, up[where])
            free = [m.candidate for m in up.values() if m.id not in tried]
            taken = [up[where].candidate for where in done]
            most = Crowding(1, UNLIMITED.domain)
            targets = place(writer, free, wanted - len(done), taken, most)
        if len(done) < max(1, wanted - 1):
            raise failures[0]
        return True

    async def _remove(self, writer: WriterId, where: BackendId) -> None:
        member = self._members.get(where)
        if member is None or member.down:
            return
        try:
            await member.backend.delete(session_key(writer))
        except BackendError as error:
            log.info("%s: the session's record there goes by itself", error)


@contextlib.asynccontextmanager
async def open_session(
    members: Members,
    site: SiteId,
    writer: WriterId,
    last: int,
    copies: int,
    *,
    may_wait: bool = False,
) -> AsyncIterator[Session]:
    """A session of a writer whose last record is `last`, known to all before anything is stored;
    with `may_wait` later where there is no room."""
    session = Session(members, site, copies, may_wait=may_wait)
    try:
        await session.cover(writer, last)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.keep)
            yield session
            nursery.cancel_scope.cancel()
    finally:
        await session.close()
