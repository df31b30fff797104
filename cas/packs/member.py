"""One backend of a store, with all that is known of it.

Concurrency: changes in the event loop only, between awaits.
"""

import logging
import time
from dataclasses import InitVar, dataclass, field
from typing import Final

import trio

from ...backends.base import Backend
from ...backends.marker import Marker
from ...backends.rated import allow
from ...ids import BackendId
from .health import NEVER, Event, Health, Reach, State
from .latency import Latency
from .placement import Candidate

_NOW: Final = {
    State.UP: "is up again",
    State.SUSPECT: "is suspect: it is asked last until it was looked at",
    State.DOWN: "counts as down",
    State.DRAINING: "is draining: it gets no new shards",
    State.READ_ONLY: "is read-only: it gets no new shards",
    State.FULL: "is full: new shards go to others",
}
_WARNED: Final = frozenset({State.DOWN, State.READ_ONLY, State.FULL})

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Member:
    """One backend of the store: what is known of it is in `health`, of its reads in `latency`.

    `since` is when its state became what it is, as Unix time; `errors` counts failed calls,
    and in `answered` seconds it showed its marker the last time, None where it did not.
    `capacity` is how many bytes of shards it may hold, None where only its space limits them, and
    `used` how many it does: counted only where some member has a capacity (`cas.capacity`).
    `untried` where nobody has tried whether it decides conditional puts, as others may have.
    It `refuses` us where the last look at it was denied; `marker` is its own as it was read last,
    None where it was not, or what is there is another's. It is `unlisted` where other folders that
    share the store took it off the list, and `absent` where only these use it.
    """

    id: BackendId
    name: str
    backend: Backend
    domain: str
    weight: float
    decided: InitVar[State | None] = None
    health: Health = field(init=False)
    since: float = field(default_factory=time.time, init=False)
    errors: int = field(default=0, init=False)
    answered: float | None = field(default=None, init=False)
    latency: Latency = field(default_factory=Latency, compare=False)
    capacity: int | None = None
    used: int = 0
    untried: bool = False
    unlisted: bool = False
    absent: bool = False
    refuses: bool = field(default=False, init=False)
    marker: Marker | None = field(default=None, init=False, compare=False)

    def __post_init__(self, decided: State | None) -> None:
        self.health = Health().decide(decided, -NEVER)

    @property
    def candidate(self) -> Candidate:
        """This member as placement sees it."""
        return Candidate(self.id, self.domain, self.weight)

    @property
    def left(self) -> int | None:
        """Bytes of shards that it may still take, None where only its space limits them."""
        return None if self.capacity is None else max(0, self.capacity - self.used)

    def has_room(self, size: int) -> bool:
        """Whether its capacity leaves `size` bytes more."""
        return self.left is None or size <= self.left

    def holds(self, size: int) -> bool:
        """Whether an object of it may have `size` bytes."""
        largest = self.backend.properties.largest_object
        return largest is None or size <= largest

    @property
    def state(self) -> State:
        """Its state in a word."""
        return self.health.state

    @property
    def down(self) -> str:
        """Why it is not read, "" while it is."""
        return "" if self.health.readable else self.health.why

    @down.setter
    def down(self, why: str) -> None:
        """For who knows better than its calls."""
        event = Event.LOOKED_BADLY if why else Event.LOOKED_WELL
        self.become(self.health.after(event, trio.current_time(), why=why))

    @property
    def doubtful(self) -> bool:
        """Whether it is asked last: slower than its peers, or suspect."""
        return self.latency.demoted or self.health.reach is Reach.SUSPECT

    def configure(self, new: "Member") -> None:
        """Take over what the configuration has come to say of it."""
        self.domain, self.weight, self.capacity = new.domain, new.weight, new.capacity
        self.unlisted = new.unlisted
        allow(self.backend, new.backend.properties.rate)
        self.become(self.health.decide(new.health.decided, trio.current_time()))

    def become(self, health: Health) -> None:
        """Take over what is known now, and tell the log of a change."""
        before, self.health = self.health, health
        if before.state is not health.state:
            self.since = time.time()
            _tell(self, before.state)


def _tell(member: Member, before: State) -> None:
    if {before, member.state} == {State.UP, State.SUSPECT}:
        level = logging.DEBUG
    else:
        level = logging.WARNING if member.state in _WARNED else logging.INFO
    why = member.health.reason
    why = why.removeprefix(f"backend {member.name}: ").removeprefix(f"backend {member.name} ")
    log.log(level, "backend %s %s%s", member.name, _NOW[member.state], f": {why}" if why else "")
