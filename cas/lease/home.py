"""The ref home: the one backend that decides between sites, for those who agree on none else.

It is the first, in the order of the configuration, that decides `put(if_absent=True)` for all its
writers, whether it is up or down: else two sites that reach different backends had two of them.
One that others took off the list is none to them.
So there is none here either where one before it was not tried: elsewhere that may be the home.
"""

import logging
from typing import Final

import trio

from ...backends.bounded import listed_below
from ...backends.keys import parse_condemned_key
from ...errors import BackendError
from ...ids import PackId
from ..packs.members import Member, Members

MOST_CONDEMNED: Final = 1_000_000
"""Packs that one backend says are condemned; more are nobody's."""

log = logging.getLogger(__name__)


def home_of(members: Members) -> Member | None:
    """The ref home; None where no backend passed the probe for conditional puts, or where one that
    comes before it was not tried."""
    first = _first(members)
    return None if first is None or first.untried else first


def untried(members: Members) -> Member | None:
    """The backend that may be the ref home elsewhere, for all that is known here."""
    first = _first(members)
    return first if first is not None and first.untried else None


def _first(members: Members) -> Member | None:
    listed = (m for m in members if not m.unlisted)
    able = (m for m in listed if m.untried or m.backend.properties.conditional_put)
    return next(able, None)


async def condemned_ids(members: Members) -> frozenset[PackId]:
    """Packs that records on backends which are up condemn; what one said where none tells."""
    found, failures, up = set[PackId](), list[BackendError](), members.up()

    async def ask(member: Member) -> None:
        try:
            listing = await listed_below(member.backend, "condemned/", MOST_CONDEMNED)
            parsed = [parse_condemned_key(listed.key) for listed in listing]
            found.update(pack for pack in parsed if pack is not None)
        except BackendError as error:
            members.note_failure(member, error)
            log.warning("%s", error)
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for member in up:
            nursery.start_soon(ask, member)
    if failures and len(failures) == len(up):
        raise failures[0]
    return frozenset(found)
