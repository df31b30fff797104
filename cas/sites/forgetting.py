"""Forgetting a site that is gone: nobody takes the trouble of sharing for its sake any more.

What it recorded is taken over first: who knows of nobody else looks for no records of others. Then
its news, its sessions and its record are taken off the backends. What it stored stays: that is the
store's. One that comes back announces itself before it writes.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import trio

from ...backends.keys import news_key, session_key, site_key
from ...errors import BackendError, BusyError, NotFoundError, UsageError
from ...ids import Key, SiteId
from ..access import Access
from ..lease.others import forget_others
from ..lease.sites import AGAIN
from ..packs.members import Member
from .signs import Signs, own_id, signs_of

SHORTEST: Final = 4
"""Digits of an id that must be given at least."""
_DIGITS: Final = re.compile(f"[0-9a-f]{{{SHORTEST},32}}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A site that was forgotten, and the backends that may know it still: those are down, or did
    not take it."""

    id: SiteId
    left: tuple[str, ...]


async def forget_site(access: Access, text: str, *, force: bool = False) -> Forgotten:
    """Forget the site whose id begins with `text`; with `force` one, too, that is at work or was
    heard of within a day, which is a BusyError else.

    NotFoundError where none has that id, UsageError where several have, or this folder's own does.
    """
    own, members = await own_id(access), access.pool.members
    found, unasked = await signs_of(members, own)
    site = _named(text.lower(), own, {own, *found})
    if not force:
        _refuse_at_work(site, found[site])
    async with access.writing("modelfloat site forget", told=False) as journal:
        await journal.take_over()
    left = set(unasked)

    async def forget(member: Member) -> None:
        try:
            await _forget(member, site, found[site])
        except BackendError as error:
            members.note_failure(member, error, writing=True)
            log.info("%s", error)
            left.add(member.name)

    async with trio.open_nursery() as nursery:
        for member in members.up():
            nursery.start_soon(forget, member)
    if not left and not found.keys() - {own, site}:
        await trio.to_thread.run_sync(forget_others, access.lock(""))
    return Forgotten(site, tuple(sorted(left)))


def _named(text: str, own: SiteId, known: Iterable[SiteId]) -> SiteId:
    if _DIGITS.fullmatch(text) is None:
        raise UsageError(
            f"{text} is no site: give {SHORTEST} digits of its id or more; `modelfloat site ls` "
            "shows them"
        )
    fitting = sorted(site for site in known if site.hex().startswith(text))
    if not fitting:
        raise NotFoundError(f"no site {text} is known; `modelfloat site ls` shows which are")
    if len(fitting) > 1:
        names = ", ".join(site.hex() for site in fitting)
        raise UsageError(f"{text} may be any of {names}; more digits tell which")
    if fitting[0] == own:
        raise UsageError(f"{text} is this folder's own site, which is at work; name another one")
    return fitting[0]


def _refuse_at_work(site: SiteId, signs: Signs) -> None:
    if signs.mounts:
        doing = "has the store mounted"
    elif signs.writers:
        doing = "writes to the store"
    elif signs.heard < AGAIN:
        doing = "was heard of within the last day"
    else:
        return
    raise BusyError(
        f"the site {site.hex()[:8]} {doing}; if its folder is gone for good, forget it with --force"
    )


async def _forget(member: Member, site: SiteId, signs: Signs) -> None:
    """Take all that tells of a site off a backend; its record last, so that what was interrupted
    is found again.

    Sessions of writers that count stay: one that is at work for all that may move a ref to what gc
    would delete the same moment. Of one that is not they count no more soon.
    """
    sessions = signs.sessions.get(member.id, set()) - signs.writers
    keys: list[Key] = [session_key(owner) for owner in sessions]
    for key in (*keys, news_key(site), site_key(site)):
        await member.backend.delete(key)
