"""When a read is late, and which backends are slower than their peers: those are asked last.

A read is late after what reads of its size usually take on its backend, or on the others: so a
backend that has become slow, or always was, is measured by those that could stand in for it. What
all of them take lately counts too, also what has not come yet: where everything waits for one link,
or for a busy machine, nothing is late. After J.
Dean and L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013: hedged requests, and servers put on
probation.

Concurrency: used in the event loop only, without an await.
"""

import logging
from collections import deque
from dataclasses import dataclass, field
from statistics import median_low
from typing import Final, Protocol

from ...ids import BackendId
from .health import Event
from .latency import Latency, size_class
from .members import Member, Members

UNKNOWN: Final = 0.1
SLOWEST: Final = 40e6
"""While nothing is known a read is late after so many seconds, and those that its bytes need at so
many a second."""
FEW: Final = 8
"""Reads after which a backend is a measure for itself,"""
KNOWN: Final = 2
"""and backends of which something is known before they are one for each other."""
SHORTEST: Final = 0.004
"""Seconds that no read is late before, nor a backend slow: threads and disks hiccup as long."""
ROUND_TRIPS: Final = 4.0
"""The same in round trips of the backend, as it says itself."""
OWN: Final = 1.5
"""Times what 95 of 100 reads of a backend stay below is late for it,"""
OTHERS: Final = 1.5
"""or times what they stay below on its peers,"""
LATELY: Final = 1.5
"""but not before times what its peers take lately."""
SLOWER: Final = 3.0
"""Times the typical read of its peers is slow,"""
WELL: Final = 2.0
"""and times that is well enough for one that was demoted."""
JUDGED: Final = 8
"""Latest reads of a backend by which it is judged."""
SLOW: Final = 6
"""So many of them slow demote it,"""
LOST: Final = 3
"""or so many given up as late, one after the other and each begun after the last was given up."""
PROBES: Final = 3
"""Probes in a row that are well promote it again."""
PROBE_FIRST: Final = 1.0
PROBE_LAST: Final = 30.0
"""Seconds between probes: they double from the first to the last while probes are slow."""
STALE: Final = 16
"""Reads after which the peers are compared anew,"""
SETTLED: Final = 64
"""but after each of the first so many."""

log = logging.getLogger(__name__)


class _Tell(Protocol):
    def __call__(self, latency: Latency, size: int, /) -> float | None: ...


@dataclass(slots=True)
class _Record:
    """What speaks for and against one backend; times are the event loop's."""

    verdicts: deque[bool] = field(default_factory=lambda: deque(maxlen=JUDGED))
    lost: int = 0
    given_up: float = -1e9
    probe_at: float = 0.0
    pause: float = PROBE_FIRST
    well: int = 0


class Peers:
    """The members of a store, compared. Sizes in bytes, times in seconds."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._records: dict[BackendId, _Record] = {}
        self._noted = self._demoted = 0
        self._middles: dict[tuple[_Tell, int], float | None] = {}
        self._late: dict[tuple[BackendId, int], float] = {}
        self.judging = False
        """Whether backends are demoted: only while somebody sends probes to those that are."""

    def late(self, member: Member, size: int) -> float:
        """Seconds after which a read of `size` bytes from `member` is late."""
        key = member.id, size_class(size)
        late = self._late.get(key)
        if late is None:
            late = self._late[key] = self._find_late(member, size)
        return late

    def _find_late(self, member: Member, size: int) -> float:
        own = member.latency.usual(size) if member.latency.reads >= FEW else None
        others = self._middle(Latency.usual, size, member)
        known = [OWN * own] if own is not None else []
        if others is not None:
            known.append(OTHERS * others)
        return max(_least(member), min(known, default=UNKNOWN + size / SLOWEST))

    def overdue(self, member: Member, size: int, now: float) -> float:
        """The same for a read that is late, now that what its peers take lately is counted in, and
        for how long they have been waited for."""
        lately = self._middle_of(lambda of, size: of.lately(size, now), size, member) or 0.0
        return max(self.late(member, size), LATELY * lately)

    def note(self, member: Member, size: int, seconds: float) -> None:
        """A read was answered after so long."""
        member.latency.note(size, seconds)
        self._noted += 1
        if self._noted < SETTLED or not self._noted % STALE:
            self._forget_comparisons()
        typical = self._middle(Latency.typical, size, member)
        if typical is None:
            return
        if seconds > SLOWER * typical + _least(member):
            # Where all have become slower at once nobody is slow.
            typical = max(typical, self._middle_of(Latency.recent, size, member) or 0.0)
        record = self._record(member)
        record.lost = 0
        record.verdicts.append(seconds > SLOWER * typical + _least(member))
        if member.latency.demoted:
            self._probed(member, record, seconds <= WELL * typical + _least(member))
        elif sum(record.verdicts) >= SLOW:
            self._demote(member, record)

    def given_up(self, member: Member, size: int, began: float, now: float) -> None:
        """A read was cancelled; one that was late by then speaks against the backend."""
        if now - began < self.late(member, size):
            return
        member.latency.given_up += 1
        record = self._record(member)
        if began < record.given_up:
            return
        record.given_up = now
        record.lost += 1
        if record.lost == LOST:
            # It may hang, and not only be slow: then it is down, and nobody waits for it any more.
            self._members.hear(member, Event.LATE, now=now)
        if member.latency.demoted:
            self._probed(member, record, well=False)
        elif record.lost >= LOST:
            self._demote(member, record)

    def probe_due(self, member: Member, now: float) -> bool:
        """Whether a demoted backend should be looked at; says so once, until the next is due."""
        record = self._record(member)
        if now < record.probe_at:
            return False
        record.probe_at = now + record.pause
        return True

    @property
    def any_demoted(self) -> bool:
        """Whether any backend is; cheap."""
        return self._demoted > 0

    def _forget_comparisons(self) -> None:
        self._middles.clear()
        self._late.clear()

    def _record(self, member: Member) -> _Record:
        return self._records.setdefault(member.id, _Record())

    def _demote(self, member: Member, record: _Record) -> None:
        prompt = sum(not (other.down or other.latency.demoted) for other in self._members)
        if not self.judging or prompt <= len(self._members) // 2:
            return
        member.latency.demoted = True
        self._demoted += 1
        self._forget_comparisons()
        self._records[member.id] = _Record(given_up=record.given_up)
        log.info("backend %s is slower than its peers: it is asked last", member.name)

    def _probed(self, member: Member, record: _Record, well: bool) -> None:
        record.well = record.well + 1 if well else 0
        record.pause = PROBE_FIRST if well else min(2 * record.pause, PROBE_LAST)
        if record.well >= PROBES:
            # What it took meanwhile must not make it slow, nor late reads usual.
            self._records[member.id] = _Record()
            member.latency.forget()
            member.latency.demoted = False
            self._demoted -= 1
            self._forget_comparisons()
            log.info("backend %s is as quick as its peers again", member.name)

    def _middle(self, tell: _Tell, size: int, member: Member) -> float | None:
        """The middle one of what `tell` says of those who are up and prompt, and of `member`."""
        if member.down or member.latency.demoted:
            return self._middle_of(tell, size, member)
        key = tell, size_class(size)
        if key not in self._middles:
            self._middles[key] = self._middle_of(tell, size, member)
        return self._middles[key]

    def _middle_of(self, tell: _Tell, size: int, and_of: Member) -> float | None:
        known = [
            told
            for member in self._members
            if (member is and_of or not (member.down or member.latency.demoted))
            and (told := tell(member.latency, size)) is not None
        ]
        # Of two the lower one, so that one of two that is slow is measured by the other.
        return median_low(known) if len(known) >= KNOWN else None


def _least(member: Member) -> float:
    return max(SHORTEST, ROUND_TRIPS * member.backend.properties.latency)
