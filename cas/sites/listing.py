"""Which sites share a store, when each was heard of last, and what each is doing."""

import math
from dataclasses import dataclass

import trio

from ...ids import SiteId
from ..access import Access
from ..journal.slots import last_numbers
from ..lease.others import note_others
from .lastwrites import LastWrite, LastWrites
from .signs import Signs, own_id, signs_of


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """One site. `here` is this folder's. `heard` is seconds since its last sign of life, None where
    none has an age. `writers` and `mounts` are at work there now, with `open_files` on the mounts;
    `last` is what it has recorded last, None where that is not to be found."""

    id: SiteId
    here: bool
    heard: float | None
    writers: int
    mounts: int
    open_files: int
    last: LastWrite | None


@dataclass(frozen=True, slots=True)
class SiteList:
    """The sites that backends know of, this folder's first, then the one that was heard of last;
    `unasked` are backends that may know of more."""

    sites: tuple[SiteStatus, ...]
    unasked: tuple[str, ...]


async def list_sites(access: Access) -> SiteList:
    """Every site that a backend which is up knows of."""
    own, members = await own_id(access), access.pool.members
    found, unasked = await signs_of(members, own)
    if found.keys() - {own}:
        # Who is shown here is followed from the next command on.
        await trio.to_thread.run_sync(note_others, access.lock(""))
    told = {site: signs.told for site, signs in found.items() if signs.told < math.inf}
    ours = await trio.to_thread.run_sync(last_numbers, access.lock(""))
    last = await LastWrites(members, own, ours, access.copies, told).find()
    listed = [_status(s, signs, last.get(s), here=s == own) for s, signs in found.items()]
    listed.sort(key=lambda each: (not each.here, _never(each.heard), each.id))
    return SiteList(tuple(listed), tuple(sorted(unasked)))


def _status(site: SiteId, signs: Signs, last: LastWrite | None, *, here: bool) -> SiteStatus:
    heard = 0.0 if here else signs.heard
    return SiteStatus(
        site,
        here,
        heard if heard < math.inf else None,
        len(signs.writers),
        len(signs.mounts),
        sum(signs.mounts.values()),
        last,
    )


def _never(heard: float | None) -> float:
    return math.inf if heard is None else heard
