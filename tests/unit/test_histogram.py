"""Durations in buckets of a logarithmic scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.histogram import Histogram


@given(st.lists(st.integers(0, 1 << 39), min_size=1, max_size=50))
def test_quantiles_are_off_by_an_eighth_at_most(durations: list[int]) -> None:
    found = Histogram()
    for each in durations:
        found.note(each)
    assert found.count == len(durations)
    assert found.total_ns == sum(durations)
    assert found.quantile(1.0) == pytest.approx(max(durations) / 1e9, rel=1 / 8, abs=1e-9)
    octaves = list(found.octaves())
    assert octaves == [(bound, sum(each < bound for each in durations)) for bound, _ in octaves]


@given(st.lists(st.integers(0, 1 << 39)), st.lists(st.integers(0, 1 << 39)))
def test_what_came_since_an_earlier_moment(early: list[int], late: list[int]) -> None:
    now = Histogram()
    for each in early:
        now.note(each)
    then = Histogram(now.pairs(), now.total_ns, now.longest_ns)
    assert then == now
    only = Histogram()
    for each in late:
        now.note(each)
        only.note(each)
    found = now.since(then)
    assert (found.pairs(), found.total_ns) == (only.pairs(), only.total_ns)
    assert found.longest_ns == max([0, *early, *late])


def test_buckets_that_a_newer_release_may_have_count_as_the_last() -> None:
    assert Histogram([(1 << 40, 2)]).count == 2
    with pytest.raises(ValueError, match="no bucket"):
        Histogram([(-1, 2)])


def test_without_durations_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) == 0.0


def test_what_takes_longest_counts_too() -> None:
    found = Histogram()
    found.note(1 << 60)
    assert found.quantile(0.5) > 1000
    assert list(found.octaves())[-1] == (1 << 40, 0)
    assert found.count == 1
