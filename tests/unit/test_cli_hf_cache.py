"""`add --from-hf-cache` on the command line."""

import json
import os
from pathlib import Path

import pytest

from modelfloat.backends.base import Usage
from modelfloat.backends.local import LocalBackend
from modelfloat.cli.main import run
from modelfloat.cli.settings import hf_cache
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.hfcaches import HfRepository, commit_of
from modelfloat.tests.support.stores import flip_bit

COMMIT = commit_of("one")


def test_a_cache_is_imported_and_told(tmp_path: Path) -> None:
    store, cache = f"--store={tmp_path / 'store'}", tmp_path / "hub"
    repository = HfRepository(cache, "models--acme--llama")
    blob = repository.blob(b"weights", large=True)
    repository.snapshot(COMMIT, {"model.bin": blob}, ref="main")
    HfRepository(cache, "datasets--glue")
    assert modelfloat(store, "init").returncode == 0
    done = modelfloat(store, "add", "--from-hf-cache", cache)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            f"acme/llama@{COMMIT}: 1 file, 7 B, new 7 B",
            "acme/llama@main: 1 file, 7 B, new 0 B",
            f"{cache}: 2 branches imported, 0 were there already",
        ],
    )
    assert done.stderr == (
        "modelfloat: skipped datasets--glue: a dataset, only models are imported\n"
    )
    assert modelfloat(store, "cat", f"acme/llama@{COMMIT}/model.bin").stdout == "weights"
    flip_bit(blob, 0)
    again = modelfloat(store, "--json", "--quiet", "add", "--from-hf-cache", cache)
    assert again.returncode == 1
    assert again.stderr.startswith(f"modelfloat: not imported: acme/llama@{COMMIT[:12]}: ")
    document = json.loads(again.stdout)
    assert (document["cache"], document["added"], len(document["failed"])) == (str(cache), [], 1)


def test_no_preflight_and_quiet_hold_for_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def usage(_: LocalBackend) -> Usage:
        return Usage(10, 10**15, "disk")

    monkeypatch.setattr(LocalBackend, "usage", usage)
    store, cache = ["--store", str(tmp_path / "store")], tmp_path / "hub"
    repository = HfRepository(cache, "models--acme--llama")
    blob = repository.blob(b"weights" * 1000, large=True)
    repository.snapshot(COMMIT, {"model.bin": blob}, ref="main")
    assert run([*store, "--quiet", "init"]) == 0
    quiet = [*store, "--quiet", "add", "--from-hf-cache", str(cache)]
    capsys.readouterr()
    assert run(quiet) == 1
    assert "10 B are free" in capsys.readouterr().err
    assert run([*quiet, "--no-preflight"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments", [["--from-hf-cache", "a", "b"], ["--from-hf-cache", "--sync"], ["x"], []]
)
def test_wrong_usage(tmp_path: Path, arguments: list[str]) -> None:
    done = modelfloat(f"--store={tmp_path}", "add", *arguments)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_where_the_cache_is() -> None:
    home = os.path.expanduser("~")
    assert hf_cache(None, {}) == f"{home}/.cache/huggingface/hub"
    assert hf_cache(None, {"XDG_CACHE_HOME": "/x"}) == "/x/huggingface/hub"
    assert hf_cache(None, {"HF_HOME": "/hf", "XDG_CACHE_HOME": "/x"}) == "/hf/hub"
    assert hf_cache(None, {"HF_HOME": "/hf", "HF_HUB_CACHE": "/c"}) == "/c"
    assert hf_cache("/given/..", {"HF_HUB_CACHE": "/c"}) == "/"
