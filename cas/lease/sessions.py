"""Sessions: records on the backends that a writer is at work, for who collects garbage elsewhere.

A session's record is durable before the first pack, lies on m+1 backends as a journal record does,
is written again and again, and removed at the end. While it counts nobody deletes what the writer
has stored, and what it may rely on only after it has had the time to look (`docs/decisions/`).

Concurrency: one task writes the records again, another works; `_until` belongs to the event loop.
"""

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import trio

from ...backends.keys import parse_session_key, session_key
from ...backends.registry import is_local_path
from ...errors import (
    BackendError,
    KeyNotFoundError,
    ModelFloatError,
    QuotaError,
    UnavailableError,
)
from ...ids import SiteId, StoreId, WriterId
from ..formats.presence import (
    LONGEST,
    NOBODY,
    Presence,
    PresenceRecord,
    decode_presence,
    encode_presence,
    is_sound,
)
from ..packs.members import Member, Members
from .clock import Clock, boottime
from .reliance import Reliance
from .signs import CLEANUP, Signs

TERM: Final = 300
"""Seconds without a new record after which a session counts no more."""
OVER: Final = 1
"""Its term once the writer has died: 0 would last for ever."""
RENEWALS: Final = 4
"""Times a term that the record is written."""
SOON: Final = 1.0
"""Seconds until that is tried again where it could not be."""
COMMIT_STEP: Final = 600.0
"""Longest time, in seconds, from a writer's last look at what is condemned to its ref's move."""
MOST: Final = 10_000
"""Sessions of which one listing may tell."""
UNKNOWN: Final = SiteId(NOBODY)
"""The site of a session whose record is damaged."""

log = logging.getLogger(__name__)


async def sessions_on(member: Member) -> list[WriterId]:
    """Whose sessions one backend knows of; what it says where it cannot be listed, and
    UnavailableError where it names so many that nobody has them."""
    found: list[WriterId] = []
    async with aclosing(member.backend.list("sessions/")) as listing:
        async for listed in listing:
            if (owner := parse_session_key(listed.key)) is not None:
                found.append(owner)
            if len(found) > MOST:
                raise UnavailableError(
                    f"backend {member.name} names more than {MOST:,} sessions, as many as nobody "
                    "has: look who writes to it, and delete what lies below sessions/ there",
                    backend=member.name,
                )
    return found


async def read_session(member: Member, store: StoreId, owner: WriterId) -> PresenceRecord:
    """A session's record as a backend has it; a damaged one is a writer's of whom nothing is
    known."""
    key = session_key(owner)
    data = await member.backend.get(key, most=LONGEST)
    if is_sound(data):
        return decode_presence(data, f"{key} on {member.name}")
    return PresenceRecord(Presence.SESSION, store, UNKNOWN, NOBODY, 0, TERM)


async def end_session(members: Members, site: SiteId, writer: WriterId) -> None:
    """Remove the records of a session of `site` whose writer died, once all that it recorded was
    taken over; those that cannot be go by themselves.

    A server may carry out later what it was sent last: with one among the backends the records stay
    for as long as others wait for that, where a lease has ended (`lease.MARGIN`).
    """
    served = any(not is_local_path(member.backend.properties.url) for member in members)
    with trio.move_on_after(CLEANUP):
        async with trio.open_nursery() as nursery:
            for member in members.up():
                nursery.start_soon(_end_on, member, members.store, site, writer, served)


async def _end_on(
    member: Member, store: StoreId, site: SiteId, writer: WriterId, served: bool
) -> None:
    key = session_key(writer)
    try:
        record = await read_session(member, store, writer)
        # In a copy of a folder lie the slots of the one it was copied from, which may be at work.
        if record.site != site:
            return
        if served:
            await member.backend.put(key, [encode_presence(replace(record, term=OVER))])
        else:
            await member.backend.delete(key)
    except KeyNotFoundError:
        return
    except ModelFloatError as error:
        log.info("%s: the record of a session that a crash left goes by itself", error)


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
        self._signs = Signs(members, copies)
        self._clock = clock
        self._may_wait = may_wait
        self._until = clock()
        self._records: dict[WriterId, PresenceRecord] = {}
        self.reliance = Reliance()
        self.beside_others = False
        """Whether other sites were known when it began."""

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
            told = await self._signs.write(self._records[writer])
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
        told = [await self._signs.write(record) for record in list(self._records.values())]
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
        await self._signs.remove()


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
