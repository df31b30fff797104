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


def test_without_durations_there_is_no_quantile() -> None:
    assert Histogram().quantile(0.5) == 0.0


def test_what_takes_longest_counts_too() -> None:
    found = Histogram()
    found.note(1 << 60)
    assert found.quantile(0.5) > 1000
    assert list(found.octaves())[-1] == (1 << 40, 0)
    assert found.count == 1
