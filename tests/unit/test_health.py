"""The states of a backend: a table of what each event makes of each, and what always holds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.packs.health import (
    DECISIONS,
    FAILURES,
    FIRST,
    LAST,
    NEVER,
    ROOM_FIRST,
    ROOM_LAST,
    SETTLED,
    Event,
    Health,
    Reach,
    State,
    Taking,
    told_by,
)
from modelfloat.errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyExistsError,
    KeyNotFoundError,
    MarkerError,
    QuotaError,
    ThrottledError,
    TimedOutError,
    UnavailableError,
)

NOW = 1000.0
UP = Health()
SUSPECT = UP.after(Event.FAILED, NOW - 1, why="refused")
DOWN = UP.after(Event.LOOKED_BADLY, NOW - 1, why="gone")
FULL = UP.after(Event.NO_SPACE, NOW - 1, why="no space")
REFUSING = UP.after(Event.DENIED, NOW - 1, why="denied")
DRAINING = UP.decide(State.DRAINING, NOW - 1)
READ_ONLY = UP.decide(State.READ_ONLY, NOW - 1)

TABLE = {
    Event.ANSWERED: "up up down full read-only draining read-only",
    Event.STORED: "up up down full up draining read-only",
    Event.FAILED: "suspect suspect down full read-only draining read-only",
    Event.TIMED_OUT: "down down down down down down down",
    Event.UNMARKED: "down down down down down down down",
    Event.GARBLED: "up suspect down full read-only draining read-only",
    Event.LATE: "up suspect down full read-only draining read-only",
    Event.DENIED: "read-only read-only down read-only read-only draining read-only",
    Event.NO_SPACE: "full full down full full draining read-only",
    Event.LOOKED_WELL: "up up up full read-only draining read-only",
    Event.LOOKED_BADLY: "down down down down down down down",
    Event.ROOM: "up suspect down up up draining read-only",
    Event.NO_ROOM: "up suspect down full read-only draining read-only",
}
"""What each event makes of: up, suspect, down, full, one that refuses writes, and the decided."""
BEFORE = (UP, SUSPECT, DOWN, FULL, REFUSING, DRAINING, READ_ONLY)


@pytest.mark.parametrize("event", Event)
def test_what_an_event_makes_of_each_state(event: Event) -> None:
    after = [health.after(event, NOW, why="because").state for health in BEFORE]
    assert " ".join(after) == TABLE[event]


@pytest.mark.parametrize(
    ("health", "readable", "writable", "takes"),
    [
        (UP, True, True, True),
        (SUSPECT, True, True, True),
        (DOWN, False, False, False),
        (FULL, True, True, False),
        (REFUSING, True, False, False),
        (DRAINING, True, True, False),
        (READ_ONLY, True, False, False),
    ],
)
def test_what_may_be_done_in_a_state(
    health: Health, readable: bool, writable: bool, takes: bool
) -> None:
    assert (health.readable, health.writable, health.takes_shards) == (readable, writable, takes)


def test_failures_one_after_the_other_are_down() -> None:
    health = UP
    for number in range(FAILURES):
        assert health.readable
        health = health.after(Event.FAILED, NOW + number, why=f"failure {number}")
    assert (health.state, health.reason) == (State.DOWN, f"failure {FAILURES - 1}")


def test_failures_at_once_count_once() -> None:
    """Calls that were under way when the first one failed tell nothing new."""
    health = UP
    for number in range(3 * FAILURES):
        health = health.after(Event.FAILED, NOW + number / 100, began=NOW - 1)
    assert health.state is State.SUSPECT


def test_an_answer_ends_the_count() -> None:
    health = UP
    for number in range(5 * FAILURES):
        health = health.after(Event.FAILED, NOW + number)
        health = health.after(Event.ANSWERED, NOW + number + 0.5)
    assert health.state is State.UP


def test_where_only_its_marker_can_be_read_failures_go_on_counting() -> None:
    health = UP
    for number in range(FAILURES):
        health = health.after(Event.LOOKED_WELL, NOW + number)
        health = health.after(Event.FAILED, NOW + number)
    assert health.state is State.DOWN


def test_many_odd_answers_are_suspect() -> None:
    health = UP
    for number in range(FAILURES):
        assert health.state is State.UP
        health = health.after(Event.GARBLED, NOW + number)
    assert (health.state, health.look_at) == (State.SUSPECT, NOW + FAILURES - 1)


def test_what_is_suspect_is_looked_at_at_once() -> None:
    assert SUSPECT.look_at == NOW - 1


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_pauses_between_looks_double_to_the_longest(draw: float) -> None:
    health, now, pause = UP.after(Event.LOOKED_BADLY, NOW, draw=draw), NOW, FIRST
    for _ in range(12):
        assert health.look_at - now == pytest.approx(pause * (0.5 + 0.5 * draw))
        now = health.look_at
        health = health.after(Event.LOOKED_BADLY, now, draw=draw)
        pause = min(2 * pause, LAST)
    assert pause == LAST


def test_what_goes_down_again_soon_is_left_alone_longer() -> None:
    health, pauses = UP, []
    for turn in range(3):
        health = health.after(Event.TIMED_OUT, NOW + 10 * turn)
        pauses.append(health.pause)
        health = health.after(Event.LOOKED_WELL, NOW + 10 * turn + 5)
    assert pauses == [FIRST, 2 * FIRST, 4 * FIRST]
    settled = health.after(Event.TIMED_OUT, NOW + 25 + SETTLED)
    assert settled.pause == FIRST


def test_a_straggler_brings_nothing_back_but_has_it_looked_at() -> None:
    answered = DOWN.after(Event.ANSWERED, NOW)
    assert (answered.state, answered.look_at) == (State.DOWN, min(DOWN.look_at, NOW))


def test_a_full_backend_is_asked_again_after_longer_and_longer() -> None:
    health, now, pause = UP.after(Event.NO_SPACE, NOW, draw=0.0), NOW, ROOM_FIRST
    for _ in range(8):
        assert health.room_at - now == pytest.approx(pause / 2)
        now = health.room_at
        health = health.after(Event.NO_ROOM, now, draw=0.0)
        pause = min(2 * pause, ROOM_LAST)
    again = health.after(Event.ROOM, now).after(Event.NO_SPACE, now + 1)
    assert again.room_pause == ROOM_LAST
    later = health.after(Event.ROOM, now).after(Event.NO_SPACE, now + ROOM_LAST)
    assert later.room_pause == ROOM_FIRST


def test_writes_that_are_denied_have_it_looked_at() -> None:
    """Where credentials were revoked reads fail too, though nobody may be reading."""
    assert REFUSING.look_at == NOW - 1
    assert REFUSING.after(Event.LOOKED_BADLY, NOW, why="revoked").reason == "revoked"


def test_what_is_late_is_looked_at_and_no_worse_for_it() -> None:
    assert UP.after(Event.LATE, NOW) == replace(UP, look_at=NOW)
    assert DOWN.after(Event.LATE, NOW) == DOWN


def test_since_is_when_the_state_changed() -> None:
    assert SUSPECT.since == NOW - 1
    assert SUSPECT.after(Event.LATE, NOW).since == NOW - 1
    assert SUSPECT.after(Event.LOOKED_BADLY, NOW).since == NOW


@pytest.mark.parametrize("state", set(State) - DECISIONS)
def test_nobody_decides_what_calls_tell(state: State) -> None:
    with pytest.raises(ValueError, match="nobody decides"):
        UP.decide(state, NOW)


@pytest.mark.parametrize(
    ("error", "writing", "event"),
    [
        (KeyNotFoundError("a"), False, Event.ANSWERED),
        (KeyExistsError("a"), True, Event.ANSWERED),
        (TimedOutError("a"), False, Event.TIMED_OUT),
        (ThrottledError("a", seconds=9), False, Event.TIMED_OUT),
        (UnavailableError("a"), True, Event.FAILED),
        (MarkerError("a"), False, Event.UNMARKED),
        (CorruptAnswerError("a"), False, Event.GARBLED),
        (QuotaError("a"), True, Event.NO_SPACE),
        (QuotaError("a"), False, Event.FAILED),
        (DeniedError("a"), True, Event.DENIED),
        (DeniedError("a"), False, Event.FAILED),
    ],
)
def test_what_a_failure_tells(error: BackendError, writing: bool, event: Event) -> None:
    assert told_by(error, writing=writing) is event


EVENTS = st.lists(st.tuples(st.sampled_from(Event), st.floats(0, 100), st.floats(0, 0.999)))


@given(EVENTS, st.sampled_from([None, *sorted(DECISIONS)]))
def test_what_always_holds(events: list[tuple[Event, float, float]], decided: State | None) -> None:
    health, now = Health().decide(decided, 0.0), 0.0
    for event, passed, draw in events:
        before, now = health, now + passed
        health = health.after(event, now, why="why", began=now, draw=draw)
        assert health.since == (before.since if health.state is before.state else now)
        # What is down or suspect is always looked at again, and soon enough.
        if health.reach is not Reach.UP:
            assert health.look_at <= now + LAST
        if health.taking is not Taking.TAKES:
            assert health.room_at <= now + ROOM_LAST
        assert health.takes_shards <= health.writable <= health.readable
        assert bool(health.why) == (health.reach is not Reach.UP)
        assert bool(health.lacking) == (health.taking is not Taking.TAKES)
        # Only a look brings one back, and a decision lasts.
        if before.state is State.DOWN and health.readable:
            assert event is Event.LOOKED_WELL
        assert health.decided is decided
        assert decided is None or health.state in (decided, State.DOWN)


@given(EVENTS)
def test_a_look_and_room_mend_everything(events: list[tuple[Event, float, float]]) -> None:
    health, now = Health(), 0.0
    for event, passed, draw in events:
        now += passed
        health = health.after(event, now, why="why", draw=draw)
    mended = health.after(Event.LOOKED_WELL, now).after(Event.ROOM, now)
    assert (mended.state, mended.reason, mended.look_at) == (State.UP, "", NEVER)
    assert mended.after(Event.ANSWERED, now) == replace(mended, failures=0)
