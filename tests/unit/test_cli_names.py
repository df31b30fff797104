"""Names on the command line: one line each, whatever is in them; and names that cannot be."""

import json
import os
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.tests.support.command import modelfloat

ODD = [b"one\ntwo", b"\xff\xfe", b"\x1b[31m", "größe".encode(), b" spaces "]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store into which nothing ever gets."""
    option = f"--store={tmp_path_factory.mktemp('empty') / 'store'}"
    assert run([option, "--quiet", "init"]) == 0
    return option


@pytest.fixture
def store(tmp_path: Path) -> str:
    option = f"--store={tmp_path / 'store'}"
    source = os.fsencode(tmp_path / "source")
    os.mkdir(source)
    for name in ODD:
        with open(source + b"/" + name, "wb") as file:
            file.write(b"x")
        os.mkfifo(source + b"/pipe " + name)
    assert modelfloat(option, "init").returncode == 0
    return option


def test_one_line_for_one_thing(store: str, tmp_path: Path) -> None:
    added = modelfloat(store, "add", tmp_path / "source", "acme/model", "-m", "two\nlines\x1b[31m")
    assert added.returncode == 0
    lines = added.stderr.splitlines()
    assert len(lines) == len(ODD)
    assert all(line.startswith("modelfloat: skipped ") for line in lines)
    assert all(line.isprintable() for line in lines + added.stdout.splitlines())
    plain = modelfloat(store, "ls", "acme/model").stdout.splitlines()
    assert plain == ["\\x1b[31m", " spaces ", "größe", "one\\ntwo", "\\xff\\xfe"]
    long = modelfloat(store, "ls", "-l", "acme/model").stdout.splitlines()
    assert len(long) == len(ODD)
    assert all(line.isprintable() for line in long)
    listed = json.loads(modelfloat(store, "ls", "--json", "acme/model").stdout)
    assert sorted(os.fsencode(entry["name"]) for entry in listed) == sorted(ODD)
    log = modelfloat(store, "log", "acme/model").stdout
    assert "\x1b" not in log


def test_odd_names_are_found_again(store: str, tmp_path: Path) -> None:
    assert modelfloat(store, "add", tmp_path / "source", "acme/model").returncode == 0
    for name in ODD:
        done = modelfloat(store, "cat", f"acme/model/{os.fsdecode(name)}")
        assert (done.returncode, done.stdout) == (0, "x")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "model",
        "acme/",
        "/model",
        "../model",
        "acme/..",
        "./model",
        ".acme/model",
        "acme/.model",
        "acme/mo\ndel",
        "acme/\x1b[31m",
        "ac\tme/model",
        f"{'x' * 300}/model",
        f"acme/{'x' * 300}",
        f"acme/{'ä' * 100}",
        "ac@me/model",
        "acme/model@",
        "acme/model@.x",
        "acme/model@a b",
        "acme/model@a%2Fb",
        f"acme/model@{'x' * 300}",
        "acme/model/../x",
        "acme/model/./x",
        b"acme/\xff",
        b"\xff/model",
        b"acme/model@\xff",
    ],
)
def test_targets_that_cannot_be(
    empty: str, target: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    text = target if isinstance(target, str) else os.fsdecode(target)
    assert run([empty, "add", __file__, text]) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.isprintable()
    assert run([empty, "ls"]) == 0
    assert capsys.readouterr().out == ""
