"""What rm and gc print, and how they end."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.gc.collected import GcReport, Kept
from modelfloat.cli.gc import lines
from modelfloat.cli.main import run
from modelfloat.tests.support.stores import weights


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A store with two repositories and a tag."""
    path = tmp_path / "s"
    for name in "ab":
        weights(tmp_path / name, 600_000, name)
    assert run(["--store", str(path), "--quiet", "init", "--erasure", "2+1"]) == 0
    assert run(["--store", str(path), "add", str(tmp_path / "a"), "acme/a", "--tag", "v1"]) == 0
    assert run(["--store", str(path), "add", str(tmp_path / "b"), "acme/b"]) == 0
    capsys.readouterr()
    return path


def output(
    capsys: pytest.CaptureFixture[str], store: Path, *arguments: str, status: int = 0
) -> str:
    assert run(["--store", str(store), *arguments]) == status
    captured = capsys.readouterr()
    return captured.err if status else captured.out


def test_rm_names_what_it_removed_and_when_it_is_freed(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tag, frees = output(capsys, store, "rm", "acme/a@v1").splitlines()
    assert tag.startswith("removed acme/a@v1 (tag, commit ")
    assert frees == "frees nothing: all of it is still needed elsewhere"
    branch, frees = output(capsys, store, "rm", "acme/a").splitlines()
    assert branch.startswith("removed acme/a@main (branch, commit ")
    assert frees.startswith("frees 1.20 MB at gc after 20")
    assert frees.endswith("; `modelfloat gc --grace 0` frees it now")


def test_rm_as_json(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document: Any = json.loads(output(capsys, store, "rm", "acme/a", "--json"))
    assert document["repository"] == "acme/a"
    assert [(ref["kind"], ref["name"]) for ref in document["removed"]] == [
        ("branch", "main"),
        ("tag", "v1"),
    ]
    assert document["frees"] > 600_000
    assert document["frees_after"].endswith("Z")


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        ("acme/nobody", 1, "there is no repository acme/nobody"),
        ("acme/a@dev", 1, "acme/a has no branch or tag 'dev'; it has main, v1"),
        ("acme/a@main~1", 2, "is a commit: rm removes branches and tags"),
        ("acme/a@main^", 2, "is a commit: rm removes branches and tags"),
        ("acme/a/none", 1, "acme/a/none is not there"),
        ("acme/a@v1/a", 2, "is no branch, and only branches get new commits"),
        ("acme", 2, "is no VENDOR/NAME"),
    ],
)
def test_rm_refuses(
    store: Path, capsys: pytest.CaptureFixture[str], target: str, status: int, says: str
) -> None:
    told = output(capsys, store, "rm", target, status=status)
    assert says in told
    assert told.count("\n") == 1
    assert output(capsys, store, "ls").count("acme/") == 2


def test_gc_says_what_it_did(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output(capsys, store, "rm", "acme/a")
    assert output(capsys, store, "gc").startswith("nothing to free")
    planned = output(capsys, store, "gc", "--grace", "0", "--dry-run").splitlines()[0]
    assert planned.startswith("would free 1.2")
    done = output(capsys, store, "gc", "--grace", "0").splitlines()[0]
    assert done == planned.replace("would free", "freed")
    # The two files have the same header, so a little of one's pack is still needed.
    assert re.search(r": 1 pack deleted \([^)]+ kB\), 1 rewritten \([^)]+ MB\)$", done)
    document: Any = json.loads(output(capsys, store, "gc", "--grace", "0", "--json"))
    assert (document["deleted"], document["pending"], document["dry_run"]) == (0, 0, False)
    assert "write a duration" in output(capsys, store, "gc", "--grace", "soon", status=2)


def test_gc_names_who_keeps_what() -> None:
    report = GcReport(
        deleted=600,
        rewritten=12,
        merged=40,
        merged_into=2,
        deleted_size=37_000_000_000,
        rewritten_size=1_500_000_000,
        merged_size=200_000_000,
        written=500_000_000,
        freed=38_200_000_000,
        pending=3,
        kept=[Kept("acme/llama/model.safetensors", "pid 4242 (python)", 1_200_000_000)] * 22,
    )
    told = lines(report, all_files=False)
    assert told[0] == (
        "freed 38.2 GB: 600 packs deleted (37.0 GB), 12 rewritten (1.50 GB), "
        "40 small packs merged into 2 (200 MB)"
    )
    assert told[1] == "kept 1.20 GB for pid 4242 (python) reading acme/llama/model.safetensors"
    assert told[21] == "kept 2 more open files; --verbose names them"
    assert "3 packs with shards on backends that are down" in told[22]
    assert len(lines(report, all_files=True)) == 1 + 22 + 2


def test_a_dry_run_says_what_would_end_it() -> None:
    report = GcReport(dry_run=True, deleted=2, freed=2_000_000, deleted_size=2_000_000)
    report.refused = "the site 01234567 writes to the store"
    told = lines(report, all_files=False)
    assert told[0] == "would free 2.00 MB: 2 packs deleted (2.00 MB)"
    assert told[1] == "but it would delete nothing now: the site 01234567 writes to the store"
