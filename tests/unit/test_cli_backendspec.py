"""`NAME=URL[,domain=…,weight=…,capacity=…,rate=…]`."""

from pathlib import Path

import pytest

from modelfloat.cli.backendspec import make_backend, parse_backend
from modelfloat.creating import BackendSpec
from modelfloat.errors import UsageError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("d0=/disk1/mf", BackendSpec("d0", "/disk1/mf", None, 1.0)),
        ("d0=/disk1/mf,domain=host-1", BackendSpec("d0", "/disk1/mf", "host-1", 1.0)),
        ("d0=/a,weight=2.5,domain=x=y", BackendSpec("d0", "/a", "x=y", 2.5)),
        ("d0=/a,capacity=1.5TB", BackendSpec("d0", "/a", None, 1.0, 1_500_000_000_000)),
        ("d0=/a,rate=5/s:9", BackendSpec("d0", "/a", rate="5/s:9")),
        ("d0=/a,b", BackendSpec("d0", "/a,b", None, 1.0)),
        ("d0=/a=b,weight=1", BackendSpec("d0", "/a=b", None, 1.0)),
    ],
)
def test_what_is_understood(text: str, spec: BackendSpec) -> None:
    assert parse_backend(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/disk1/mf", "NAME=URL"),
        ("/disk1/a=b", "NAME=URL"),
        ("d0", "NAME=URL"),
        ("=/a", "cannot name a backend"),
        ("a b=/a", "cannot name a backend"),
        ("d0=", "URL is missing"),
        ("d0=,domain=x", "URL is missing"),
        ("d0=/a,b=c/d,domain=x", "'b' is unknown"),
        ("d0=/a,wieght=2", "'wieght' is unknown"),
        ("d0=/a,weight=1,weight=2", "'weight' is unknown or doubled"),
        ("d0=/a,weight=heavy", "no number"),
        ("d0=/a,weight=", "no number"),
        ("d0=/a,weight=0", "positive"),
        ("d0=/a,weight=nan", "positive"),
        ("d0=/a,capacity=1,capacity=2", "'capacity' is unknown or doubled"),
        ("d0=/a,capacity=much", "capacity 'much' cannot be"),
        ("d0=/a,capacity=0", "at least one byte"),
        ("d0=/a,rate=", "none of"),
        ("d0=/a,rate=fast", "rate cannot be 'fast'"),
        ("d0=/a,domain=", "domain is empty"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_backend(text)


def test_a_relative_path_begins_where_the_user_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_backend("d0=disk").url == str(tmp_path / "disk")
    assert make_backend("d0", "../disk", None, None).url == str(tmp_path.parent / "disk")
