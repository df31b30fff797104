"""`docs/errors.md` and the program say the same: rows are provoked, and sources have rows."""

import re
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.errorrows import Row, rows
from modelfloat.tests.support.provoke import ELSEWHERE, PROVOKED, UNPROVOKED
from modelfloat.tests.support.provoking.scene import SECRET, Scene
from modelfloat.tests.support.raises import CLASSES, HOLE, sites
from modelfloat.tests.support.stores import weights

TABLES, LISTS = rows()
ABSTRACT = {"BackendError"}
"""Classes that are raised as their subclasses only."""


def row_of(key: str) -> Row:
    """The one row that a key means: a part of its message, or with `=` all of it; `@` its class."""
    part, _, error = key.partition("@") if key.startswith("=") else (key, "", "")
    exact = part.startswith("=")
    found = [r for r in TABLES if (r.message == part[1:] if exact else part in r.message)]
    found = [r for r in found if r.error == error] if error else found
    found = found or [r for r in TABLES if r.error == key]
    assert len(found) == 1, (key, found)
    return found[0]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of three directories with acme/tiny in it, tagged v1."""
    folder = tmp_path_factory.mktemp("errors")
    source = folder / "source"
    (source / "folder").mkdir(parents=True)
    weights(source / "file", 3_000_000)
    (source / "folder" / "inner").write_bytes(b"inner")
    store = ["--store", str(folder / "store")]
    assert run([*store, "--quiet", "init", "--erasure", "2+1"]) == 0
    assert run([*store, "--quiet", "add", str(source), "acme/tiny", "--tag", "v1"]) == 0
    return folder / "store"


@pytest.mark.parametrize("key", PROVOKED)
def test_a_message_is_as_its_row_says(
    key: str,
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = row_of(key)
    outcome = PROVOKED[key](Scene(tmp_path, template, capsys, monkeypatch))
    assert len(outcome.lines) == 1, outcome
    (line,) = outcome.lines
    assert line.startswith("modelfloat: ")
    assert row.matches(line.removeprefix("modelfloat: ")), (line, row.message)
    assert outcome.status == row.status, line
    assert "Traceback" not in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "command",
    [
        *("ls", "stats", "verify", "doctor", "config", "backend ls", "add {file} acme/tiny"),
        "backend add new gopher://user:{secret}@host/x",
        "backend add new file://user:{secret}@host/x",
        "backend add new memory://user:{secret}@host/x",
        "backend add new webdavs://user:{secret}@host/x",
        "backend add new webdav://host/x?token={secret}",
        "init --store {file}x --backend a=gopher://user:{secret}@host/x,size=1",
        "init --store {file}x --backend gopher://user:{secret}@host/x",
        "backend add new file://user:{secret}/x@y/{secret}@host/x",
        "backend add new gopher://{secret}/y:{secret}?#@{secret}@host/x",
        "init --store {file}x --backend a=file://{secret}:a/{secret}@host/x",
        "init --store {file}x --backend a=file://{secret}:a/{secret}@host/x,size=1",
    ],
)
@pytest.mark.parametrize("option", ["", "--json", "--verbose"])
def test_no_secret_is_told(
    command: str,
    option: str,
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Credentials in a URL of the configuration, or of a command line, are printed nowhere."""
    scene = Scene(tmp_path, template, capsys, monkeypatch)
    if "{secret}" not in command:
        scene.config('url = "', f'url = "gopher://user:{SECRET}@host/x" #')
    filled = [word.format(file=scene.file, secret=SECRET) for word in command.split()]
    run(["--store", str(scene.store), *filled, *option.split()])
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert said
    if option != "--verbose":  # a traceback is asked for, and is for the one who asks
        assert SECRET not in said


def test_every_row_is_provoked_by_one_test() -> None:
    provoked = [row_of(key) for key in (*PROVOKED, *ELSEWHERE, *UNPROVOKED)]
    assert [row.message for row in TABLES if provoked.count(row) != 1] == []


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_the_tests_that_are_named_are_there(place: str) -> None:
    file, _, name = place.partition("::")
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()


def test_every_class_has_a_row_with_its_status() -> None:
    for row in (*TABLES, *LISTS):
        assert CLASSES[row.error].exit_status == row.status, row
    assert set(CLASSES) - {row.error for row in (*TABLES, *LISTS)} - ABSTRACT == set()


def test_every_message_in_the_source_has_a_row() -> None:
    """A hole where a row has text is no match, so a row cannot hide a message it does not tell."""
    missing = []
    for site in sites():
        mine = [row for row in (*TABLES, *LISTS) if row.error == site.error]
        # A text that is made elsewhere is told apart there, and by what is provoked.
        known = site.text == HOLE and mine
        if not known and not any(row.matches(site.text) for row in mine):
            missing.append(f"{site.place}: {site.error}: {site.text}")
    assert missing == [], "docs/errors.md has no row for these"


def test_every_row_is_said_somewhere() -> None:
    said: dict[str, list[str]] = {}
    for site in sites():
        said.setdefault(site.error, []).append(site.text)
    silent = [
        row.message
        for row in (*TABLES, *LISTS)
        if HOLE not in said[row.error] and not any(row.matches(t) for t in said[row.error])
    ]
    assert silent == []


def test_rows_say_what_to_do() -> None:
    for row in TABLES:
        assert row.when, row
        assert row.remedy, row
        assert not re.search(rf"{HOLE}|\{{|\}}", row.message), row
