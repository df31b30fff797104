"""How much a check that is to go through a store once a period takes on."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from modelfloat.cas.verify.due import due

DAY = 86_400
NOW = 1_000 * DAY * 10**9
PERIOD = 30.0 * DAY


def ages(*days: float) -> NDArray[np.int64]:
    """Times of checks so many days ago."""
    return np.array([NOW - int(day * DAY * 10**9) for day in days], np.int64)


def sizes(count: int, size: int = 1000) -> NDArray[np.uint64]:
    return np.full(count, size, np.uint64)


def test_a_day_later_a_day_s_share_is_due() -> None:
    assert due(ages(*[1] * 60), sizes(60), NOW, PERIOD) == 2_000.0
    # Spread evenly, all of the oldest day.
    assert round(due(ages(*range(1, 31)), sizes(30), NOW, PERIOD)) == 1_000


def test_after_a_pause_what_it_left_undone_is_due() -> None:
    assert due(ages(*[10] * 60), sizes(60), NOW, PERIOD) == 20_000.0
    assert due(ages(*[10] * 30, *[0] * 30), sizes(60), NOW, PERIOD) == 0.0


def test_what_is_older_than_a_period_or_was_never_checked_is_due_at_once() -> None:
    times = ages(*[31] * 5, *[400] * 5, *[0] * 10)
    times[:2] = 0
    times[2] = NOW + 10**15  # by a clock that was wrong
    assert due(times, sizes(20), NOW, PERIOD) == 10_000.0
    assert due(ages(), sizes(0), NOW, PERIOD) == 0.0


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**9)), min_size=1, max_size=60),
    st.floats(1, 10**6),
)
def test_afterwards_every_span_has_its_share(packs: list[tuple[int, int]], period: float) -> None:
    now = 10**6 * 10**9 + 1
    times = np.array([at * 10**9 for at, _ in packs], np.int64)
    weights = np.array([size for _, size in packs], np.uint64)
    order = np.argsort(times, kind="stable")
    ends = np.cumsum(weights[order].astype(np.float64))
    wanted = due(times, weights, now, period)
    overdue = float(weights[times <= max(now - period * 1e9, 0)].sum())
    assert overdue - 1 <= wanted <= float(weights.sum()) + 1
    taken = order[: int(np.searchsorted(ends, wanted - 0.5)) + 1]
    times[taken] = now
    # Nothing more than what was taken is due in the same moment, but for rounding.
    assert due(times, weights, now, period) <= 1e-6 * float(weights.sum())
