"""How much was stored in a day, on clocks that are set."""

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.backends.rates.day import HOURS, Day

steps = st.lists(st.tuples(st.integers(-40, 60), st.integers(0, 1000)), max_size=30)


def test_a_day_forgets_what_is_older_than_a_day() -> None:
    day = Day().at(100).plus(5).at(110).plus(7)
    assert day.total == 12
    assert day.at(123).total == 12
    assert day.at(124).total == 7
    assert day.at(134).total == 0
    assert day.at(500_000).total == 0


def test_there_is_room_again_when_enough_is_forgotten() -> None:
    day = Day().at(100).plus(5).at(110).plus(7)
    assert day.room(8, 20)
    assert not day.room(9, 20)
    assert day.room_at(8, 20) == 110
    assert day.room_at(9, 20) == 124
    assert day.room_at(14, 20) == 134


def test_what_is_larger_than_a_day_goes_alone() -> None:
    assert Day().at(100).room(50, 20)
    assert Day().at(100).plus(1).room_at(50, 20) == 124


def test_a_clock_that_is_set_back_keeps_what_was_stored_for_a_day() -> None:
    ahead = Day().at(500_000).plus(9)
    day = ahead.at(1000)
    assert day.total == 9
    assert day.at(1023).total == 9
    assert day.at(1024).total == 0
    near = Day().at(100).plus(1).at(110).plus(2).at(105)
    assert near.total == 3
    assert near.at(124).total == 2
    assert near.at(129).total == 0


@given(steps)
def test_whatever_the_clock_does_what_was_stored_is_forgotten_after_a_day(
    steps: list[tuple[int, int]],
) -> None:
    """Each is as old as the clock has gone forward since, but never of the future."""
    stored: list[tuple[int, int]] = []
    day, hour = Day().at(1000), 1000
    for step, size in steps:
        step = max(step, -hour)
        hour += step
        stored = [(max(0, age + step), each) for age, each in stored]
        stored = [(age, each) for age, each in stored if age < HOURS] + [(0, size)]
        day = day.at(hour).plus(size)
        assert len(day.stored) == HOURS
        assert day.total == sum(each for _, each in stored)
