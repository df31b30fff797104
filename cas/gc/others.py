"""Sessions of other sites, as who collects garbage sees them: who is at work, and what they stored.

A session counts while any copy of its record was written within its term and MARGIN, by the clock
of the backend that it lies on. One of this site never does here: its writers share a lock with gc.
"""

import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.keys import journal_key, parse_session_key, session_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, KeyNotFoundError, LockedError, UnavailableError
from ...ids import PackId, SiteId, WriterId
from ..formats.journal import PackStored, decode_record
from ..formats.presence import (
    NOBODY,
    Presence,
    PresenceRecord,
    decode_presence,
    is_sound,
)
from ..journal.copies import believable, head_of, record_name, vouched_for
from ..lease.clock import Clock, boottime, quiet_for
from ..lease.lease import MARGIN
from ..lease.sessions import COMMIT_STEP, TERM
from ..packs.members import Member, Members

POLL: Final = 2.0
"""Seconds between two looks at sessions that are waited for."""

log = logging.getLogger(__name__)

UNKNOWN: Final = SiteId(NOBODY)
"""The site of a session whose record is damaged."""


@dataclass(frozen=True, slots=True)
class Others:
    """Looks for sessions of sites other than `site`; `copies` is m+1."""

    members: Members
    site: SiteId
    copies: int
    clock: Clock = boottime

    async def at_work(self) -> dict[WriterId, PresenceRecord]:
        """Every open session of another site. Records of those that ended are removed.

        UnavailableError where a backend that is up cannot be asked.
        """
        found: dict[WriterId, PresenceRecord] = {}
        ended: list[tuple[Member, WriterId]] = []
        for member in self.members.up():
            try:
                for writer in await self._listed(member):
                    record = await self._open(member, writer)
                    if record is None:
                        ended.append((member, writer))
                    else:
                        found[writer] = record
            except BackendError as error:
                self.members.note_failure(member, error)
                raise UnavailableError(f"sessions cannot be listed: {error}") from error
        for member, writer in ended:
            if writer not in found:
                await self._remove(member, writer)
        return found

    async def let_finish(self, *, wait: bool) -> None:
        """Return when who is at work now has ended, or has had the time to see what is condemned.

        LockedError where somebody is and it shall not `wait`.
        """
        first, began, told = await self.at_work(), self.clock(), False
        left = first
        while left and self.clock() < began + COMMIT_STEP:
            site = next(iter(left.values())).site.hex()[:8]
            if not wait:
                raise LockedError(
                    f"the site {site} writes to the store; try again later, or with --wait"
                )
            if not told:
                log.warning("waiting for the site %s, which writes to the store", site)
                told = True
            await trio.sleep(POLL)
            now = await self.at_work()
            left = {writer: now[writer] for writer in first if writer in now}

    async def stored(self, sessions: dict[WriterId, PresenceRecord]) -> set[PackId]:
        """The packs that these sessions have stored so far.

        UnavailableError where a record of theirs cannot be read.
        """
        packs: set[PackId] = set()
        for writer, session in sessions.items():
            seq = session.number + 1
            while (data := await self._record(writer, seq)) is not None:
                entries = decode_record(data, record_name(writer, seq), self.members.cipher).entries
                packs |= {entry.pack for entry in entries if isinstance(entry, PackStored)}
                seq += 1
        return packs

    async def _listed(self, member: Member) -> list[WriterId]:
        async with aclosing(member.backend.list("sessions/")) as listing:
            parsed = [parse_session_key(listed.key) async for listed in listing]
        return [writer for writer in parsed if writer is not None]

    async def _open(self, member: Member, writer: WriterId) -> PresenceRecord | None:
        """What a record says of a session that counts; None of one that does not."""
        key = session_key(writer)
        try:
            data = await member.backend.get(key)
            if is_sound(data):
                record = decode_presence(data, f"{key} on {member.name}")
            else:
                record = PresenceRecord(
                    Presence.SESSION, self.members.store, UNKNOWN, bytes(writer), 0, TERM
                )
            if record.site == self.site:
                return None
            quiet = await quiet_for(member.backend, key, self.members.store, self.site)
        except KeyNotFoundError:
            return None
        return record if quiet < record.term + MARGIN else None

    async def _remove(self, member: Member, writer: WriterId) -> None:
        try:
            await member.backend.delete(session_key(writer))
        except BackendError as error:
            log.info("%s: the record of a session that ended stays", error)

    async def _record(self, writer: WriterId, seq: int) -> bytes | None:
        """A sound copy of a record, wherever it lies, before others one that the store's key
        vouches for; None where there is none.

        UnavailableError where there may be one: a copy is there that is not sound, or somebody who
        may have one does not say so.
        """
        doubt, anybodys = "", None
        for member in self.members.up():
            for copy in range(self.copies):
                try:
                    data = await RetryBackend(member.backend).get(journal_key(writer, seq, copy))
                except KeyNotFoundError:
                    continue
                except BackendError as error:
                    self.members.note_failure(member, error)
                    doubt = str(error)
                    break
                if head_of(data, self.members.store, writer, seq) is not None and believable(
                    [data], self.members.cipher
                ):
                    if vouched_for(data, self.members.cipher):
                        return data
                    anybodys = data
                    continue
                doubt = f"{record_name(writer, seq)} on {member.name} is damaged"
        if anybodys is not None:
            return anybodys
        if doubt:
            raise UnavailableError(f"what another site has stored cannot be read: {doubt}")
        return None
