"""`push` and `pull` as they are typed: what they say, for people and for programs."""

import json
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.tests.support.stores import weights

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    store = tmp_path / "here"
    assert run(["--store", str(store), "--quiet", "init", "--erasure", "2+1"]) == 0
    weights(tmp_path / "model.safetensors", 1_500_000)
    source = str(tmp_path / "model.safetensors")
    assert run(["--store", str(store), "--quiet", "add", source, "acme/m", "--tag", "v1"]) == 0
    return store


def say(capsys: Capture, store: Path, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = run(["--store", str(store), *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_dry_run_tells_bytes_and_makes_nothing(
    here: Path, tmp_path: Path, capsys: Capture
) -> None:
    status, out, _ = say(capsys, here, "push", tmp_path / "stick", "acme/m", "--dry-run")
    assert status == 0
    assert "acme/m@main: would be new" in out
    assert "would send 1 commit, 1.50 MB of chunks" in out
    assert not (tmp_path / "stick").exists()


def test_there_and_back_in_words(here: Path, tmp_path: Path, capsys: Capture) -> None:
    stick, there = tmp_path / "stick", tmp_path / "there"
    status, out, _ = say(capsys, here, "push", stick, "acme/m", "--tags", "--erasure", "4+2")
    assert status == 0
    assert "acme/m@main: new, commit " in out
    assert "acme/m@v1: new, commit " in out
    assert "pushed 1 commit, 1.50 MB of chunks (" in out
    assert list(stick.glob("packs/*/*/5-4-2"))
    assert say(capsys, there, "--quiet", "init")[0] == 0
    status, out, _ = say(capsys, there, "pull", stick, "acme/m")
    assert (status, out.count("pulled 1 commit")) == (0, 1)
    status, out, _ = say(capsys, there, "pull", stick, "acme/m")
    assert "is the same there" in out
    assert f"{there} has all of it" in out
    assert say(capsys, there, "pull", stick, "acme/m", "--quiet") == (0, "", "")


def test_a_document_for_programs(here: Path, tmp_path: Path, capsys: Capture) -> None:
    status, out, _ = say(capsys, here, "--json", "push", tmp_path / "stick", "acme/m@v1")
    document = json.loads(out)
    (ref,) = document["refs"]
    assert (status, ref["result"], ref["kind"], ref["name"]) == (0, "new", "tag", "v1")
    assert ref["old"] is None
    assert document["missing_bytes"] >= 1_500_000
    assert document["stored_bytes"] > document["sent_bytes"] > 0
    assert document["dry_run"] is False


def test_a_store_that_is_encrypted_is_opened(here: Path, tmp_path: Path, capsys: Capture) -> None:
    words, sealed = tmp_path / "words", tmp_path / "sealed"
    words.write_text("a fine long passphrase\n")
    sheet = ("--recovery-file", tmp_path / "sheet")
    made = say(capsys, sealed, "--passphrase-file", words, "--quiet", "init", "--encrypt", *sheet)
    assert made[0] == 0
    for command in ("push", "pull"):
        status, _, err = say(capsys, here, command, sealed, "acme/m")
        assert status == 1
        assert f"{sealed} is encrypted and its key was not given" in err
        assert "--their-passphrase-file" in err
    theirs = ("--their-passphrase-file", words)
    assert say(capsys, here, "push", sealed, "acme/m", *theirs)[0] == 0
    status, out, _ = say(capsys, here, "push", sealed, "acme/m", "--dry-run", *theirs)
    assert "is the same there" in out
    wrong = tmp_path / "wrong"
    wrong.write_text("some other passphrase\n")
    status, _, err = say(capsys, here, "pull", sealed, "acme/m", "--their-passphrase-file", wrong)
    assert (status, "Traceback" in err) == (1, False)


def test_what_would_do_nothing_is_refused(here: Path, tmp_path: Path, capsys: Capture) -> None:
    """Who gives a key takes what he sends for encrypted; who gives a scheme, for of that scheme."""
    stick, words = tmp_path / "stick", tmp_path / "words"
    words.write_text("a fine long passphrase\n")
    theirs = ("--their-passphrase-file", words)
    status, _, err = say(capsys, here, "push", stick, "acme/m", *theirs)
    assert (status, f"{stick} is not encrypted" in err) == (2, True)
    assert not stick.exists()
    scheme = ("--erasure", "4+2")
    assert say(capsys, here, "push", stick, "acme/m", *scheme)[0] == 0
    # What was interrupted is repeated as it was.
    assert say(capsys, here, "push", stick, "acme/m", *scheme)[0] == 0
    status, _, err = say(capsys, here, "push", stick, "acme/m", "--erasure", "2+1")
    assert (status, f"{stick} is there already, as 4+2" in err) == (2, True)
    status, _, err = say(capsys, here, "pull", stick, "acme/m", *theirs)
    assert (status, f"{stick} is not encrypted" in err) == (2, True)
