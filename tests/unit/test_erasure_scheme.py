"""Schemes: what they accept and how they are written."""

import dataclasses

import pytest

from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UsageError


@pytest.mark.parametrize(
    ("text", "k", "m"), [("4+2", 4, 2), ("1+0", 1, 0), ("8+1", 8, 1), ("32+16", 32, 16)]
)
def test_parse_and_str_are_inverse(text: str, k: int, m: int) -> None:
    scheme = Scheme.parse(text)
    assert scheme == Scheme(k, m)
    assert str(scheme) == text
    assert scheme.n == k + m


@pytest.mark.parametrize(
    "text",
    ["", "4", "4+", "+2", "4-2", "4+2+1", " 4+2", "4+2\n", "04+2", "4+02", "-4+2", "4 + 2", "٤+2"],
)
def test_other_spellings_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="write it as k\\+m, for example 4\\+2"):
        Scheme.parse(text)


@pytest.mark.parametrize(("k", "m"), [(0, 2), (33, 2), (-1, 0), (4, -1), (4, 17)])
def test_counts_outside_the_limits_are_refused(k: int, m: int) -> None:
    with pytest.raises(UsageError, match="K data shards, 1 to 32, and M parity shards, 0 to 16"):
        Scheme(k, m)


@pytest.mark.parametrize("text", ["33+2", "4+17", "99+99"])
def test_parse_applies_the_limits(text: str) -> None:
    with pytest.raises(UsageError, match="K data shards, 1 to 32"):
        Scheme.parse(text)


def test_a_scheme_is_a_value() -> None:
    scheme = Scheme(4, 2)
    assert {scheme: 1}[Scheme(4, 2)] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        scheme.k = 5  # type: ignore[misc]
