"""How many journal records are taken over at once, so that nobody can tell of more without end.

Every record is written to several backends. Whoever has one of them can lay there what looks like
a writer's records, one behind the other, and make them up faster than they are applied; whoever has
them all can do so with all of them. What was applied stays, so the next command, or the next round,
goes on from there.

Concurrency: belongs to the event loop.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ...errors import UnavailableError
from ...ids import BackendId, WriterId
from ..packs.members import Member
from .copies import Found

COMMAND: Final = 10_000
"""Records that one backend alone has, and that a command takes over: more than sites record while
all other backends are away."""
ROUND: Final = 1_000
"""The same of one round of who follows."""
TIMES: Final = 10
"""As many times that number are taken over, whoever has them."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pace:
    """Counts records that are taken over: `most` of those that one backend alone has. `ended` are
    the writers of which there were more."""

    most: int = field(default_factory=lambda: COMMAND)
    ended: set[WriterId] = field(default_factory=set)
    _alone: Counter[BackendId] = field(default_factory=Counter)
    _all: int = 0
    _told: dict[BackendId, str] = field(default_factory=dict)

    def too_many(self) -> UnavailableError:
        """What is told where not all that there is was taken over, and all of it is needed."""
        names = ", ".join(sorted(self._told.values()))
        return UnavailableError(
            "more journal records are new here than are taken over at once: run this again for the "
            f"others, and if that does not end, look who writes to {names}"
        )

    @property
    def is_used_up(self) -> bool:
        """Whether so many were taken over, whoever has them, that no more are."""
        return self._all > TIMES * self.most

    def begin(self) -> None:
        """Count from nothing again."""
        self.ended.clear()
        self._alone.clear()
        self._all = 0

    def refuses(self, found: Found, writer: WriterId) -> bool:
        """Whether one more record, of that writer, is too many; the log tells of whom they are."""
        self._all += 1
        alone = len(found.holders) == 1 and found.lacked
        if alone:
            self._alone[found.holders[0].id] += 1
        if alone and self._alone[found.holders[0].id] > self.most:
            self._tell(found.holders[0], f"{self.most:,} journal records that no other backend has")
        elif self.is_used_up:
            self._tell(found.holders[0], f"{TIMES * self.most:,} journal records that are new here")
        else:
            return False
        self.ended.add(writer)
        return True

    def _tell(self, member: Member, what: str) -> None:
        if member.id not in self._told:
            self._told[member.id] = member.name
            log.warning(
                "backend %s has more than %s: the others are taken over later; if that does not "
                "end, look who writes to it",
                member.name,
                what,
            )
