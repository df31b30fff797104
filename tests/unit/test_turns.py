"""Whose turn it is: the algorithm by itself, on a clock that the test holds."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.backends.rates.turns import SECOND, Turns, give_back, take
from modelfloat.rate import Rate

ONCE = Rate(2.0, 4)
EACH = SECOND // 2
"""Two requests a second, four at once."""


def given_to(count: int, *, writing: bool = False, turns: Turns | None = None) -> list[int]:
    """When `count` who ask at the same moment, or as soon as they may again, have their turns."""
    turns, now = turns or Turns(), 0
    found: list[int] = []
    while len(found) < count:
        turn = take(turns, ONCE, now, writing=writing)
        turns = turn.after
        if turn.taken:
            found.append(turn.at)
        else:
            now = turn.at
    return found


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    assert given_to(7) == [0, 0, 0, 0, EACH, 2 * EACH, 3 * EACH]


def test_half_of_a_burst_is_for_reads() -> None:
    assert given_to(4, writing=True) == [0, 0, EACH, 2 * EACH]


def test_a_read_waits_for_one_write_at_most() -> None:
    turns = Turns()
    for _ in range(100):  # as many shards as there may be
        turns = take(turns, ONCE, 0, writing=True).after
    reads = []
    for _ in range(3):
        turn = take(turns, ONCE, 0)
        turns = turn.after
        reads.append(turn.at)
    assert reads == [0, EACH, 2 * EACH]


def test_a_write_has_its_turn_among_reads() -> None:
    turns = Turns()
    for _ in range(10):
        turns = take(turns, ONCE, 0).after
    write = take(turns, ONCE, 0, writing=True)
    assert write.taken
    later = take(write.after, ONCE, 0)
    assert write.at <= later.at + 3 * EACH


def test_a_put_of_several_requests_takes_as_many_turns() -> None:
    turn = take(Turns(), ONCE, 0, 3)
    assert (turn.at, turn.after.full) == (0, 3 * EACH)
    assert take(Turns(), ONCE, 0, 9, writing=True).at == 0


def test_a_turn_that_is_not_used_is_given_back_unless_somebody_came_since() -> None:
    turn = take(Turns(), ONCE, 0)
    assert give_back(turn.after, turn) == Turns(each=EACH)
    later = take(turn.after, ONCE, 0).after
    assert give_back(later, turn) == later
    refused = take(replace(turn.after, write=5), ONCE, 0, writing=True)
    assert not refused.taken
    assert give_back(refused.after, refused) == refused.after


def test_another_rate_is_for_those_too_who_wait_already() -> None:
    slow = Rate(1 / 3600)
    turns = Turns()
    for _ in range(50):
        turns = take(turns, slow, 0).after
    assert turns.full == 50 * 3600 * SECOND
    assert take(turns, ONCE, 0).at == (50 - 3) * EACH
    assert take(turns, Rate(), 0).at == 0
    assert take(take(turns, Rate(), 0).after, ONCE, 0).at == 0


@given(
    requests=st.floats(0.01, 1000),
    burst=st.integers(1, 50),
    asked=st.lists(
        st.tuples(st.integers(0, 3 * SECOND), st.integers(1, 3), st.booleans()), max_size=60
    ),
)
def test_no_stretch_of_time_sees_more_than_the_rate(
    requests: float, burst: int, asked: list[tuple[int, int, bool]]
) -> None:
    """Of any turns the first and the last of which are so far apart there are no more than the
    burst and what the rate gives in that time; the cost of each is at most the burst's."""
    rate = Rate(requests, burst)
    given: list[tuple[int, int]] = []
    turns, now = Turns(), 0
    for pause, cost, writing in asked:
        now += pause
        turn = take(turns, rate, now, min(cost, burst), writing=writing)
        turns = turn.after
        assert turn.at >= now
        if turn.taken:
            given.append((turn.at, min(cost, burst)))
    given.sort()
    for first, (begin, _) in enumerate(given):
        count = 0
        for end, cost in given[first:]:
            count += cost
            assert count <= burst + (end - begin) / SECOND * requests + 1e-3 * count
