"""`modelfloat rebuild-index`: what it prints, its exit status, its JSON."""

import json
import shutil
from pathlib import Path

import pytest

from modelfloat.cas.rebuild.report import RebuildReport
from modelfloat.cli.main import run
from modelfloat.cli.rebuild_index import SHOWN, lines


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "model").write_bytes(bytes(range(256)) * 4000)
    assert run(["--store", str(tmp_path / "store"), "init", "--erasure=2+1"]) == 0
    assert run(["--store", str(tmp_path / "store"), "add", str(tmp_path / "model"), "a/b"]) == 0
    capsys.readouterr()
    return tmp_path / "store"


def test_a_lost_index(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(store / "index")
    assert run(["--store", str(store), "ls"]) == 1
    error = capsys.readouterr().err
    assert "run `modelfloat rebuild-index`" in error
    assert error.count("\n") == 1
    assert run(["--store", str(store), "rebuild-index"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("the index is made anew\n")
    assert "of 1 writer read in" in out
    assert run(["--store", str(store), "ls", "a/b"]) == 0
    assert "model" in capsys.readouterr().out


def test_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--store", str(store), "rebuild-index", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exit_status"] == 0
    assert document["kept"] == "index.damaged-1"
    assert document["refs"] == 1
    assert document["missing"] == []


def test_a_backend_too_many_is_down(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("d0", "d1"):
        (store / "backends" / name / "modelfloat.json").unlink()
    assert run(["--store", str(store), "rebuild-index"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert "d0, d1: too many backends are down" in last
    assert "bring 1 of them back" in last


def test_what_is_missing_is_named_in_moderation() -> None:
    report = RebuildReport(
        missing=["journal record 00000000/3"],
        found_again=[f"{n:032x}" for n in range(SHOWN + 5)],
        maybe_older=["acme/model@main"],
        missing_shards=3,
        kept="index.damaged-2",
        dropped=["index.damaged-1"],
    )
    found = lines(report, everything=False)
    assert "of earlier rebuilds, removed for it: index.damaged-1" in found
    assert "journal record 00000000/3: no sound copy of it is left" in found
    assert "acme/model@main: may be older than it was" in found
    assert "… and 5 more; --verbose names them" in found
    assert found[-1].startswith("the index is made anew; `modelfloat verify --repair` mends")
    assert len(lines(report, everything=True)) == len(found) + 4
    assert report.exit_status == 3


def test_lost_data_is_said_in_capitals() -> None:
    report = RebuildReport(lost_packs=["ab" * 16], missing_objects=2)
    assert report.exit_status == 4
    assert lines(report, everything=False)[-1].startswith("DATA IS LOST")
