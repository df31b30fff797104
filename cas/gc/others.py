"""Sessions of other sites, as who collects garbage sees them: who is at work, and what they stored.

A session counts while any copy of its record was written within its term and MARGIN, by the clock
of the backend that it lies on. One of this site never does here: its writers share a lock with gc,
and its mounts are asked themselves. But a writer that no slot here knows is another folder's that
says to be this one: a clone, of a disk or of a container's image. What a mount had open when it was
last heard of is kept for a day: it may only be cut off.
"""

import contextlib
import logging
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from ...backends.keys import session_key
from ...backends.retry import RetryBackend
from ...errors import BackendError, KeyNotFoundError, LockedError, QuotaError, UnavailableError
from ...ids import Key, ObjectId, PackId, SiteId, WriterId
from ..formats.journal import PackStored, decode_record
from ..formats.presence import Presence, PresenceRecord
from ..journal.copies import believable, head_of, read_copy, record_name, vouched_for
from ..journal.slots import all_writers
from ..lease.clock import Clock, boottime, quiet_for
from ..lease.lease import MARGIN
from ..lease.sessions import COMMIT_STEP, read_session, sessions_on
from ..packs.members import Member, Members
from .collected import InUse

POLL: Final = 2.0
"""Seconds between two looks at sessions that are waited for."""

REMEMBERED: Final = 86_400.0
"""Seconds for which it is kept what a mount had open that is not heard of any more."""

MOST_IN_USE: Final = 1 << 18
"""Files open elsewhere that are noted; records of mounts can be made up without end."""

MOST_RECORDS: Final = 100_000
"""Journal records of one session, in each of which there may be many packs."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class AtWork:
    """Sessions of other sites: of writers and of mounts, and what is, or was, open on these."""

    writers: dict[WriterId, PresenceRecord] = field(default_factory=dict)
    mounts: dict[WriterId, PresenceRecord] = field(default_factory=dict)
    open: dict[ObjectId, SiteId] = field(default_factory=dict)
    doubt: str = ""
    """Of `told`: why nobody can say what is open."""

    def note(self, key: WriterId, record: PresenceRecord, quiet: float) -> bool:
        """Take a record in that was written `quiet` seconds ago; False for one that ended.

        UnavailableError where it does not name all that is open.
        """
        counts = quiet < record.term + MARGIN
        if record.kind is not Presence.MOUNT:
            if counts:
                self.writers[key] = record
            return counts
        site = record.site.hex()[:8]
        if quiet >= max(REMEMBERED, record.term + MARGIN):
            return False
        if record.number > len(record.open):
            raise UnavailableError(
                f"a mount of the site {site} has {record.number:,} files open, more than it can "
                "name, so anything may be needed there; run gc again when fewer are, or, if it is "
                "gone for good, after `modelfloat site forget`"
            )
        if counts:
            self.mounts[key] = replace(record, open=())
        self.open.update(dict.fromkeys(record.open, record.site))
        if len(self.open) > MOST_IN_USE:
            raise UnavailableError(
                f"mounts of other sites have more than {MOST_IN_USE:,} files open, so anything may "
                "be needed there; run gc again when fewer are, or, of a site that is gone for "
                "good, after `modelfloat site forget`"
            )
        return True

    @property
    def in_use(self) -> list[InUse]:
        """What is, or was, open on mounts."""
        return [
            InUse(id_, f"manifest {id_.hex()[:16]}", f"a mount of the site {site.hex()[:8]}")
            for id_, site in self.open.items()
        ]


@dataclass(frozen=True, slots=True)
class Others:
    """Looks for sessions of sites other than `site`, whose lock files lie in `folder`; `copies` is
    m+1."""

    members: Members
    site: SiteId
    folder: str
    copies: int
    clock: Clock = boottime

    async def at_work(self) -> AtWork:
        """Every open session of another site. Records of those that ended are removed.

        UnavailableError where a backend that is up cannot be asked.
        """
        found, kept = AtWork(), set[WriterId]()
        ended: list[tuple[Member, WriterId]] = []
        for member in self.members.up():
            try:
                for key in await sessions_on(member):
                    record, quiet = await self._asked(member, key)
                    if record is not None and await self._counts(found, key, record, quiet):
                        kept.add(key)
                    else:
                        ended.append((member, key))
            except BackendError as error:
                self.members.note_failure(member, error)
                raise UnavailableError(f"sessions cannot be listed: {error}") from error
        for member, key in ended:
            if key not in kept:
                await self._remove(member, key)
        return found

    async def _counts(
        self, found: AtWork, key: WriterId, record: PresenceRecord, quiet: float
    ) -> bool:
        """Take a session in; False where it has ended. One's own is left alone: other sites need to
        see it for as long as it lasts."""
        if record.site == self.site:
            ours = record.kind is Presence.MOUNT or key in await trio.to_thread.run_sync(
                all_writers, self.folder
            )
            if ours:
                return quiet < record.term + MARGIN
        return found.note(key, record, quiet)

    async def told(self) -> AtWork:
        """Every open session of another site, as far as ages tell it that the asker's clock may
        have a part in; changes nothing."""
        found = AtWork()
        for member in self.members.up():
            try:
                for key in await sessions_on(member):
                    with contextlib.suppress(KeyNotFoundError):
                        record = await read_session(member, self.members.store, key)
                        await self._tell(found, member, key, record)
            except BackendError as error:
                self.members.note_failure(member, error)
                log.info("%s", error)
        return found

    async def _tell(
        self, found: AtWork, member: Member, key: WriterId, record: PresenceRecord
    ) -> None:
        quiet = await member.backend.age(session_key(key))
        try:
            await self._counts(found, key, record, quiet)
        except UnavailableError as error:
            found.doubt = str(error)

    async def let_finish(self, *, wait: bool) -> None:
        """Return when who is at work now has ended, or has had the time to see what is condemned.

        LockedError where somebody is and it shall not `wait`.
        """
        first, began, told = (await self.at_work()).writers, self.clock(), False
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
            now = (await self.at_work()).writers
            left = {writer: now[writer] for writer in first if writer in now}

    async def stored(self, sessions: dict[WriterId, PresenceRecord]) -> set[PackId]:
        """The packs that these sessions have stored so far.

        UnavailableError where a record of theirs cannot be read, or there is no end of them.
        """
        packs: set[PackId] = set()
        for writer, session in sessions.items():
            seq = session.number + 1
            while (data := await self._record(writer, seq)) is not None:
                entries = decode_record(data, record_name(writer, seq), self.members.cipher).entries
                packs |= {entry.pack for entry in entries if isinstance(entry, PackStored)}
                seq += 1
                if seq - session.number > MOST_RECORDS:
                    raise UnavailableError(
                        f"a session of the site {session.site.hex()[:8]} has more than "
                        f"{MOST_RECORDS:,} journal records, as many as nobody has: nothing is "
                        "deleted; look who writes to the backends"
                    )
        return packs

    async def _asked(self, member: Member, owner: WriterId) -> tuple[PresenceRecord | None, float]:
        """What a session's record says, None where it is gone, and how many seconds ago it was
        written."""
        key = session_key(owner)
        try:
            record = await read_session(member, self.members.store, owner)
            return record, await self._quiet(member, key)
        except KeyNotFoundError:
            return None, 0.0

    async def _quiet(self, member: Member, key: Key) -> float:
        """Seconds since a session's record was written; 0 where the backend is too full to have it
        compared: what frees space must go on then, and such a session is waited for in vain."""
        try:
            return await quiet_for(member.backend, key, self.members.store, self.site)
        except QuotaError as error:
            self.members.note_failure(member, error, writing=True)
            return 0.0

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
                    data = await read_copy(RetryBackend(member.backend), writer, seq, copy)
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
