"""`10/s:40+750GB/day`, and what it makes of a provider's own rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.rate import Rate, changed

OWN = Rate(4.0, 8, 10**9, put=3, account="me@example.org")


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10.0, 20)),
        ("10/s:40", Rate(10.0, 40)),
        ("30/min", Rate(0.5, 1)),
        ("1/h:1", Rate(1 / 3600, 1)),
        ("750GB/day", Rate(daily=750 * 10**9)),
        ("1.5T/day", Rate(daily=1500 * 10**9)),
        ("2.5/s:7+100/day", Rate(2.5, 7, 100)),
        ("none", Rate()),
    ],
)
def test_what_is_understood(text: str, rate: Rate) -> None:
    assert changed(None, text) == rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(10.0, 20, 10**9, 3, "me@example.org")),
        ("5GB/day", Rate(4.0, 8, 5 * 10**9, 3, "me@example.org")),
        ("none", Rate(None, 8, None, 3, "me@example.org")),
    ],
)
def test_what_is_not_spoken_of_stays(text: str, rate: Rate) -> None:
    assert changed(OWN, text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/day/s",
        "-1/s",
        "0/s",
        "1e9/s",
        "9999999/s",
        "5/s:0",
        "5/s:",
        "5/s+",
        "0/day",
        "5GB",
        "5GB/s",
        "none+5/s",
        "nan/s",
        "10/s:9999999",
        "99999999999T/day",
        "9" * 400 + "GB/day",
        "9" * 400 + "/s",
        "5/s:" + "9" * 5000,
        "0.1/h",
        "٣/s",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of|at least one"):
        changed(OWN, text)


@given(
    st.floats(0.001, 1e5),
    st.integers(1, 10**6),
    st.none() | st.integers(1, 10**15),
)
def test_what_is_written_is_understood(requests: float, burst: int, daily: int | None) -> None:
    rate = Rate(requests, burst, daily)
    read = changed(None, str(rate))
    assert (read.burst, read.daily) == (burst, daily)
    assert read.requests == pytest.approx(requests, rel=1e-5)


def test_only_limits_limit() -> None:
    assert OWN.limits
    assert not changed(OWN, "none").limits
