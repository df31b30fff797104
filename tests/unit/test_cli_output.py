"""Sizes, durations, names and columns as people see them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cli import output
from modelfloat.cli.output import (
    columns,
    human_rate,
    human_seconds,
    human_size,
    iso_time,
    one_line,
    plural,
    printable,
    say_json,
    shown,
)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1500, "1.50 kB"),
        (9_994, "9.99 kB"),
        (9_995, "10.0 kB"),
        (90_868_376, "90.9 MB"),
        (99_949_999, "99.9 MB"),
        (99_950_000, "100 MB"),
        (999_499_999, "999 MB"),
        (999_500_000, "1.00 GB"),
        (1_412_345_678, "1.41 GB"),
        (1 << 40, "1.10 TB"),
        (10**19, "10.0 EB"),
    ],
)
def test_human_size(size: int, text: str) -> None:
    assert human_size(size) == text


@given(st.integers(0, 10**20))
def test_human_size_is_short_and_right_to_a_percent(size: int) -> None:
    number, unit = human_size(size).split()
    factor = 1000 ** ("B", "kB", "MB", "GB", "TB", "PB", "EB").index(unit)
    assert abs(float(number) * factor - size) <= size / 100
    assert len(number) <= 4 or size >= 10**20


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.00 s"),
        (0.42, "0.42 s"),
        (0.996, "1.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_human_seconds(seconds: float, text: str) -> None:
    assert human_seconds(seconds) == text


def test_human_rate() -> None:
    assert human_rate(1_700_000_000, 2) == "850 MB/s"
    assert human_rate(5, 0) == "–/s"


def test_iso_time() -> None:
    assert iso_time(0) == "1970-01-01T00:00:00Z"
    assert iso_time(1_000_000_000_999_999_999) == "2001-09-09T01:46:40Z"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "file", "1 file"),
        (0, "file", "0 files"),
        (2, "repository", "2 repositories"),
        (1234, "shard", "1,234 shards"),
    ],
)
def test_plural(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


def test_names_cannot_steer_the_terminal() -> None:
    assert shown(b"caf\xc3\xa9 \xff") == "café \\xff"
    assert shown(b"a\x1b[2Jb\r\n") == "a\\x1b[2Jb\\r\\n"
    assert shown(b"a\\x1b \\\xff") == "a\\\\x1b \\\\\\xff"
    assert printable("escaped \\xff and \x1b") == "escaped \\xff and \\x1b"
    assert one_line("two\nlines \x1b[0m") == "two lines \\x1b[0m"


@given(st.binary())
def test_shown_is_printable(name: bytes) -> None:
    assert shown(name).isprintable()


def test_columns_are_aligned() -> None:
    rows = [["name", "size"], ["a", "1 B"], ["longer", "10 MB"]]
    assert columns(rows, "<>") == "name     size\na         1 B\nlonger  10 MB"


def test_json_holds_names_that_are_no_text(capsys: pytest.CaptureFixture[str]) -> None:
    name = b"\xff".decode("utf-8", "surrogateescape")
    say_json({"name": name})
    assert json.loads(capsys.readouterr().out) == {"name": name}


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_a_list_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str], count: int) -> None:
    documents = [{"number": n, "nested": {"text": "a\nb"}, "list": [n]} for n in range(count)]
    output.say_json_list(iter(documents))
    said = capsys.readouterr().out
    assert said == json.dumps(documents, indent=2) + "\n"


def test_rows_of_any_number(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[str(n), "x"] for n in range(output.PAGE + 1)]
    output.say_columns(iter(rows), "><")
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-2], lines[-1]) == ("  0  x", "999  x", "1000  x")
    output.say_columns(iter([]), "><")
    assert capsys.readouterr().out == ""
