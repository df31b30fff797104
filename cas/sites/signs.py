"""What backends tell of sites: their records, their news and their sessions, with their ages.

A session's record that is damaged is one of a site that nobody is, so that it is seen as well.
"""

import contextlib
import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import trio

from ...backends.keys import news_key, session_key, site_key
from ...errors import BackendError, KeyNotFoundError
from ...ids import BackendId, Key, SiteId, StoreId, WriterId
from ..access import Access
from ..formats.presence import Presence, PresenceRecord
from ..lease.lease import MARGIN
from ..lease.sessions import read_session, sessions_on
from ..lease.sites import announce, sites_on
from ..packs.members import Member, Members

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Signs:
    """All that was found of one site. `heard` is seconds since its last sign of life, `told` since
    its news were written, infinite where nothing has an age; `sessions` are all that records tell
    of, by backend; of these `writers` are at work, and so are `mounts`, each with how many files
    are open on it."""

    heard: float = math.inf
    told: float = math.inf
    sessions: dict[BackendId, set[WriterId]] = field(default_factory=dict)
    writers: set[WriterId] = field(default_factory=set)
    mounts: dict[WriterId, int] = field(default_factory=dict)

    def hear(self, quiet: float) -> None:
        """Take in that something of it was written `quiet` seconds ago."""
        self.heard = min(self.heard, quiet)

    def note(self, owner: WriterId, record: PresenceRecord, quiet: float, where: BackendId) -> None:
        """Take in a session's record, which was written `quiet` seconds ago."""
        self.hear(quiet)
        self.sessions.setdefault(where, set()).add(owner)
        if quiet >= record.term + MARGIN:
            return
        if record.kind is Presence.MOUNT:
            self.mounts[owner] = record.number
        else:
            self.writers.add(owner)


async def own_id(access: Access) -> SiteId:
    """This folder's site; its lock files may never have been made."""
    with contextlib.suppress(OSError):
        await trio.Path(access.lock("")).mkdir(exist_ok=True)
    return await access.sharing.site()


async def signs_of(members: Members, own: SiteId) -> tuple[dict[SiteId, Signs], set[str]]:
    """What backends that are up tell of each site, of one's `own` too; names of the backends that
    could not be asked."""
    found: dict[SiteId, Signs] = {}
    unasked = {member.name for member in members.down()}

    async def ask(member: Member) -> None:
        try:
            await _ask(member, members.store, own, found)
        except BackendError as error:
            members.note_failure(member, error)
            log.info("%s", error)
            unasked.add(member.name)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(ask, member)
    return found, unasked


async def _ask(member: Member, store: StoreId, own: SiteId, found: dict[SiteId, Signs]) -> None:
    sites, sessions = await sites_on(member), await _sessions(member, store)
    records = [make(site) for site in sites for make in (site_key, news_key)]
    quiet = await _quiet(member, [*records, *map(session_key, sessions)], store, own)
    for site in sites:
        signs = found.setdefault(site, Signs())
        signs.told = min(signs.told, quiet.get(news_key(site), math.inf))
        signs.hear(min(signs.told, quiet.get(site_key(site), math.inf)))
    for owner, record in sessions.items():
        if (since := quiet.get(session_key(owner))) is not None:
            found.setdefault(record.site, Signs()).note(owner, record, since, member.id)


async def _sessions(member: Member, store: StoreId) -> dict[WriterId, PresenceRecord]:
    found: dict[WriterId, PresenceRecord] = {}
    for owner in await sessions_on(member):
        with contextlib.suppress(KeyNotFoundError):
            found[owner] = replace(await read_session(member, store, owner), open=())
    return found


async def _quiet(
    member: Member, keys: Iterable[Key], store: StoreId, own: SiteId
) -> dict[Key, float]:
    """Seconds for which each key that is there was not written, by the backend's own clock where
    this site may write to it (`cas.lease.clock`), else by the clock of who tells ages."""
    told = member.health.writable
    if told:
        try:
            await announce(member, store, own)
        except BackendError as error:
            log.info("%s", error)
            told = False
    ages: dict[Key, float] = {}
    for key in keys:
        with contextlib.suppress(KeyNotFoundError):
            ages[key] = await member.backend.age(key)
    now = await member.backend.age(site_key(own)) if told else 0.0
    return {key: max(0.0, age - now) for key, age in ages.items()}
