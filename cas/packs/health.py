"""What a backend is good for, as its calls tell: a state machine. Pure; the caller has the clock.

    up         it answers and takes shards
    suspect    a call failed: it is asked last, and looked at soon
    down       it is not there: neither read nor written until a look finds it again
    draining   the user has its shards moved away: read, but it gets no new ones
    read-only  the user said so, or it refuses writes: read, but it gets no new ones
    full       it has no space: read, but it gets no new shards

A state is made of three things that do not depend on each other: whether the backend answers
(`Reach`), whether it takes what is written (`Taking`), and what the user decided.

What is down is looked at after pauses that double from FIRST to LAST, each drawn from its upper
half ("equal jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
One that goes down again soon goes on where its pauses had come to: what flaps is left alone longer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final

from ...errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyExistsError,
    KeyNotFoundError,
    MarkerError,
    QuotaError,
    ThrottledError,
    TimedOutError,
)

FAILURES: Final = 3
"""So many failures, each of a call that began after the one before, and no answer between them."""
FIRST: Final = 1.0
LAST: Final = 30.0
"""Seconds between looks at what is down, at first and at most."""
SETTLED: Final = 60.0
"""Seconds after which a backend that came up again is as one that never was down."""
ROOM_FIRST: Final = 30.0
ROOM_LAST: Final = 600.0
"""Seconds between two questions whether a full backend has room again, or takes writes again."""
NEVER: Final = float("inf")


class State(StrEnum):
    """The one word for all of it."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    READ_ONLY = "read-only"
    FULL = "full"


DECISIONS: Final = frozenset({State.DRAINING, State.READ_ONLY})
"""The states that a user may decide."""


class Reach(Enum):
    """Whether a backend answers."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"


class Taking(Enum):
    """Whether it takes what is written."""

    TAKES = "takes"
    FULL = "full"
    REFUSES = "refuses"


class Event(Enum):
    """What a call, a look or the clock tells of a backend."""

    ANSWERED = "a call was answered, if only that there is no such key"
    STORED = "a put is durable"
    FAILED = "a call failed, or was refused that only reads"
    TIMED_OUT = "a call took longer than any may"
    UNMARKED = "its marker is missing or foreign"
    GARBLED = "an answer was short, or none of this backend"
    LATE = "calls take so long that others were asked: it may hang"
    DENIED = "a write was refused"
    NO_SPACE = "a write found no space"
    LOOKED_WELL = "its marker was read and is ours"
    LOOKED_BADLY = "its marker could not be read"
    ROOM = "it may have room again, or take writes again"
    NO_ROOM = "it has no room still"


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one backend; times in seconds of the caller's clock.

    `why` says why it does not answer well, `lacking` why it takes nothing, each "" where it does.
    `since` is when `state` became what it is. It is to be looked at when `look_at` comes, and asked
    for room when `room_at` comes.
    """

    reach: Reach = Reach.UP
    taking: Taking = Taking.TAKES
    decided: State | None = None
    why: str = ""
    lacking: str = ""
    since: float = -NEVER
    failures: int = 0
    failed_at: float = -NEVER
    look_at: float = NEVER
    pause: float = 0.0
    well_since: float = -NEVER
    room_at: float = NEVER
    room_pause: float = 0.0
    took_since: float = -NEVER

    @property
    def state(self) -> State:
        """The state that says most of what may be done with it."""
        if self.reach is Reach.DOWN:
            return State.DOWN
        if self.decided is not None:
            return self.decided
        if self.taking is not Taking.TAKES:
            return State.FULL if self.taking is Taking.FULL else State.READ_ONLY
        return State.SUSPECT if self.reach is Reach.SUSPECT else State.UP

    @property
    def readable(self) -> bool:
        """Whether it may be asked for what it holds."""
        return self.reach is not Reach.DOWN

    @property
    def writable(self) -> bool:
        """Whether it may be written to: records, and shards that are its own."""
        refuses = self.taking is Taking.REFUSES or self.decided is State.READ_ONLY
        return self.readable and not refuses

    @property
    def takes_shards(self) -> bool:
        """Whether new shards may go there."""
        return self.readable and self.decided is None and self.taking is Taking.TAKES

    @property
    def reason(self) -> str:
        """Why the state is what it is; "" where that needs no reason."""
        if self.reach is Reach.DOWN:
            return self.why
        if self.decided is not None:
            return ""
        return self.lacking if self.taking is not Taking.TAKES else self.why

    def after(
        self,
        event: Event,
        now: float,
        *,
        why: str = "",
        began: float | None = None,
        draw: float = 0.5,
    ) -> "Health":
        """What it is after `event`, told by a call that began at `began`.

        `why` says what happened, in words; `draw`, in [0, 1), is the chance in the next pause.
        """
        told = _Told(now, why, now if began is None else began, draw)
        return self._dated(_AFTER[event](self, told), now)

    def decide(self, decided: State | None, now: float) -> "Health":
        """What it is once the user has decided that; None takes a decision back."""
        if decided is not None and decided not in DECISIONS:
            raise ValueError(f"nobody decides that a backend is {decided}")
        return self._dated(replace(self, decided=decided), now)

    def _dated(self, changed: "Health", now: float) -> "Health":
        return changed if changed.state is self.state else replace(changed, since=now)


@dataclass(frozen=True, slots=True)
class _Told:
    now: float
    why: str
    began: float
    draw: float

    def after(self, pause: float) -> float:
        """The moment after a pause, drawn from its upper half."""
        return self.now + pause * (0.5 + 0.5 * self.draw)


def _answered(health: Health, told: _Told) -> Health:
    if health.reach is Reach.DOWN:
        # A straggler, or somebody who asks all the same: only its marker brings it back.
        return replace(health, look_at=min(health.look_at, told.now))
    if health.reach is Reach.UP and not health.failures:
        return health
    return _up(health, told)


def _up(health: Health, told: _Told) -> Health:
    well = told.now if health.reach is Reach.DOWN else health.well_since
    return replace(health, reach=Reach.UP, why="", failures=0, look_at=NEVER, well_since=well)


def _looked_well(health: Health, told: _Told) -> Health:
    """Where its marker can be read and nothing else the failures go on being counted."""
    return replace(_up(health, told), failures=health.failures)


def _stored(health: Health, told: _Told) -> Health:
    answered = _answered(health, told)
    if answered.taking is not Taking.REFUSES:
        return answered  # what fits into a full one may have been small
    return _takes(answered, told)


def _failed(health: Health, told: _Told) -> Health:
    if health.reach is Reach.DOWN or told.began < health.failed_at:
        return health
    failures = health.failures + 1
    failed = replace(health, failures=failures, failed_at=told.now)
    return _down(failed, told) if failures >= FAILURES else _suspected(failed, told)


def _garbled(health: Health, told: _Told) -> Health:
    """One damaged shard says nothing of its backend; many one after the other do."""
    if health.reach is not Reach.UP or told.began < health.failed_at:
        return health
    failures = health.failures + 1
    counted = replace(health, failures=failures, failed_at=told.now)
    return _suspected(counted, told) if failures >= FAILURES else counted


def _suspected(health: Health, told: _Told) -> Health:
    if health.reach is not Reach.UP:
        return health
    return replace(health, reach=Reach.SUSPECT, why=told.why, look_at=told.now)


def _late(health: Health, told: _Told) -> Health:
    """It may hang, or be slow, which is no failure: a look tells."""
    return health if health.reach is not Reach.UP else replace(health, look_at=told.now)


def _down(health: Health, told: _Told) -> Health:
    if health.reach is Reach.DOWN:
        return health
    settled = told.now - health.well_since >= SETTLED
    pause = FIRST if settled or not health.pause else min(2 * health.pause, LAST)
    return replace(
        health, reach=Reach.DOWN, why=told.why, failures=0, pause=pause, look_at=told.after(pause)
    )


def _looked_badly(health: Health, told: _Told) -> Health:
    if health.reach is not Reach.DOWN:
        return _down(health, told)
    pause = min(2 * health.pause, LAST)
    return replace(health, why=told.why, pause=pause, look_at=told.after(pause))


def _denied(health: Health, told: _Told) -> Health:
    """It may be that writes are refused, or that all is: a look tells."""
    looked = told.now if health.reach is Reach.UP else health.look_at
    return replace(_refusing(health, told, Taking.REFUSES), look_at=looked)


def _no_space(health: Health, told: _Told) -> Health:
    return _refusing(_answered(health, told), told, Taking.FULL)


def _refusing(health: Health, told: _Told, how: Taking) -> Health:
    if health.taking is how:
        return health
    settled = told.now - health.took_since >= ROOM_LAST
    pause = ROOM_FIRST if settled else min(2 * health.room_pause, ROOM_LAST)
    return replace(
        health, taking=how, lacking=told.why, room_pause=pause, room_at=told.after(pause)
    )


def _no_room(health: Health, told: _Told) -> Health:
    if health.taking is Taking.TAKES:
        return health
    pause = min(2 * health.room_pause, ROOM_LAST)
    return replace(health, room_pause=pause, room_at=told.after(pause))


def _takes(health: Health, told: _Told) -> Health:
    if health.taking is Taking.TAKES:
        return health
    return replace(health, taking=Taking.TAKES, lacking="", room_at=NEVER, took_since=told.now)


_AFTER: Final[Mapping[Event, Callable[[Health, _Told], Health]]] = {
    Event.ANSWERED: _answered,
    Event.STORED: _stored,
    Event.FAILED: _failed,
    Event.TIMED_OUT: _down,
    Event.UNMARKED: _down,
    Event.GARBLED: _garbled,
    Event.LATE: _late,
    Event.DENIED: _denied,
    Event.NO_SPACE: _no_space,
    Event.LOOKED_WELL: _looked_well,
    Event.LOOKED_BADLY: _looked_badly,
    Event.ROOM: _takes,
    Event.NO_ROOM: _no_room,
}


def told_by(error: BackendError, *, writing: bool) -> Event:
    """What a failed call tells of its backend; `writing` where it was to change something."""
    match error:
        case KeyNotFoundError() | KeyExistsError():
            return Event.ANSWERED
        case TimedOutError() | ThrottledError():  # which would be asked in vain as well
            return Event.TIMED_OUT
        case MarkerError():
            return Event.UNMARKED
        case CorruptAnswerError():
            return Event.GARBLED
        case QuotaError() if writing:
            return Event.NO_SPACE
        case DeniedError() if writing:
            return Event.DENIED
    return Event.FAILED
