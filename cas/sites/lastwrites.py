"""What each site has recorded last, as its news and the journal tell.

News do not say whose a writer is: a site that joined tells of those, too, that were there before.
So a record is a site's own where its news were written soon after it, and of several such sites it
is the one's that told of it first. Of this folder's records its slots tell.
"""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import trio

from ...backends.keys import journal_key
from ...errors import BackendError, KeyNeededError
from ...ids import SiteId, WriterId
from ..formats.journal import RefChanged, decode_head, decode_record
from ..journal.copies import head_of, load_copy, record_name
from ..journal.news import read_news
from ..lease.clock import quiet_for
from ..packs.members import Members
from ..packs.placement import place

LOOKED_AT: Final = 8
"""Writers of a site whose last records are looked at: those at work come first in its news."""
SOON: Final = 30.0
"""Seconds within which a site has told its news of what it recorded."""


@dataclass(frozen=True, slots=True)
class LastWrite:
    """When a site's last record was made, by its clock, and the branches and tags that it moved, as
    `vendor/name@ref`; none where it moved none, or they cannot be read without a key."""

    time_ns: int
    refs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A record that news tell of, written `quiet` seconds ago."""

    writer: WriterId
    said: LastWrite
    quiet: float


@dataclass(slots=True)
class LastWrites:
    """Finds them, as this folder's site `own`, whose slots have the writers `ours` with these last
    numbers. `copies` is m+1; `told` says how many seconds ago each site's news were written."""

    members: Members
    own: SiteId
    ours: Mapping[WriterId, int]
    copies: int
    told: Mapping[SiteId, float]
    _records: dict[tuple[WriterId, int], _Found | None] = field(default_factory=dict)

    async def find(self) -> dict[SiteId, LastWrite]:
        """What sites recorded last, as far as that is to be found."""
        newest: dict[WriterId, list[tuple[float, SiteId, _Found]]] = {}
        # Nobody knows one's own as well; whoever has no others tells no news.
        for site, told in {**self.told, self.own: math.inf}.items():
            found = await self._newest(site)
            if found is not None and found.quiet - told < SOON:
                newest.setdefault(found.writer, []).append((told, site, found))
        first = [max(claims, key=lambda claim: claim[0]) for claims in newest.values()]
        return {site: found.said for _, site, found in first}

    async def _newest(self, site: SiteId) -> _Found | None:
        told = (await self._told(site))[:LOOKED_AT]
        async with trio.open_nursery() as nursery:
            for writer, last in told:
                if (writer, last) not in self._records:
                    nursery.start_soon(self._load, writer, last)
        found = [each for one in told if (each := self._records.get(one)) is not None]
        return max(found, key=lambda each: each.said.time_ns, default=None)

    async def _told(self, site: SiteId) -> list[tuple[WriterId, int]]:
        """Writers that may be a site's, with their last numbers."""
        if site == self.own:
            return list(self.ours.items())
        try:
            news = await read_news(self.members, site, self.copies, 0)
        except BackendError:
            return []
        numbers = {} if news is None else news.last
        return [(writer, last) for writer, last in numbers.items() if writer not in self.ours]

    async def _load(self, writer: WriterId, seq: int) -> None:
        """A record from where it was laid; None where it is not there any more, or was made a part
        of a segment."""
        self._records[writer, seq] = None
        up = {member.id: member for member in self.members.up()}
        places = place(writer, [member.candidate for member in up.values()], self.copies)
        for copy, where in enumerate(places):
            data = await load_copy(self.members, up[where], writer, seq, copy)
            if data is None or head_of(data, self.members.store, writer, seq) is None:
                continue
            with contextlib.suppress(BackendError):
                key, backend = journal_key(writer, seq, copy), up[where].backend
                quiet = await quiet_for(backend, key, self.members.store, self.own)
                self._records[writer, seq] = _Found(writer, self._said(data, writer, seq), quiet)
                return

    def _said(self, data: bytes, writer: WriterId, seq: int) -> LastWrite:
        name = record_name(writer, seq)
        head = decode_head(data, name)
        try:
            entries = decode_record(data, name, self.members.cipher).entries
        except KeyNeededError:
            return LastWrite(head.time_ns, ())
        changes = (entry for entry in entries if isinstance(entry, RefChanged))
        return LastWrite(head.time_ns, _names(changes))


def _names(changes: Iterable[RefChanged]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{c.vendor}/{c.name}@{c.ref}" for c in changes))
