"""Whose news are asked for in a round: never more than so many, turn by turn.

Any backend can list sites that nobody is. Those come first that told something true before; of the
others so few are asked that names which were made up cost little, and so often that the first
commit of a site that has only read so far is seen at once, where there are not too many such.
"""

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from ...ids import SiteId, random_site_id

MOST: Final = 64
"""Sites whose news are asked for in one round."""
FEW: Final = 16
"""Of these, sites that told nothing yet, where others did."""
KEPT: Final = 4096
"""Sites that are remembered to have told something."""


@dataclass(slots=True)
class Turns:
    """Chooses, in one process, whom to ask."""

    _true: dict[SiteId, None] = field(default_factory=dict)
    # A command asks once: were it always the same ones, others would never be.
    _last: dict[bool, SiteId] = field(default_factory=lambda: {False: random_site_id()})

    def choose(self, listed: Collection[SiteId]) -> list[SiteId]:
        """Who is asked in this round, of the sites that are listed now."""
        known = sorted(site for site in listed if site in self._true)
        others = sorted(site for site in listed if site not in self._true)
        asked = self._next(others, FEW if known else MOST, known=False)
        return [*self._next(known, MOST - len(asked), known=True), *asked]

    def _next(self, sites: list[SiteId], count: int, *, known: bool) -> list[SiteId]:
        """So many sites, those behind the one that came last; after the last one the first."""
        last = self._last.get(known)
        start = 0 if last is None else bisect_right(sites, last)
        chosen = (sites[start:] + sites[:start])[:count]
        if chosen:
            self._last[known] = chosen[-1]
        return chosen

    def note(self, site: SiteId) -> None:
        """Note that what a site told was true."""
        self._true.pop(site, None)
        self._true[site] = None
        while len(self._true) > KEPT:
            del self._true[next(iter(self._true))]
