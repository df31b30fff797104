"""Programs that load models by name, from the Hugging Face cache that a mount shows."""

import json
import os
from functools import partial
from pathlib import Path

import pytest

from modelfloat.tests.support.hfcaches import HfRepository, commit_of
from modelfloat.tests.support.loaders import PYTHONS, loader, serving
from modelfloat.tests.support.mounted import needs_fuse
from modelfloat.tests.support.waiting import until

pytestmark = [pytest.mark.mount, needs_fuse]

NAME = "acme/tiny"
MODEL = "models--acme--tiny"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize(
    ("program", "modules"),
    [
        ("load_hub", ["huggingface_hub"]),
        ("load_transformers", ["transformers", "torch"]),
        ("load_diffusers", ["diffusers", "transformers", "torch"]),
    ],
)
def test_loaded_by_name(program: str, modules: list[str], python: str, tmp_path: Path) -> None:
    run = loader(program, python, tmp_path / "home", *modules)
    plain = tmp_path / "plain"
    run.make(plain)
    with serving(tmp_path) as served:
        served("add", "--tag=v1", plain, NAME)
        assert len(run.check(plain, NAME, **served.hub)) >= 2
    assert not (tmp_path / "home" / "hub").exists(), "nothing is downloaded, nothing copied"


def test_what_was_imported_has_its_names_on_the_hub(tmp_path: Path) -> None:
    """What a program reads to resolve a name, whether such a program is installed or not."""
    old, new = commit_of("old"), commit_of("new")
    repo = HfRepository(tmp_path / "cache", MODEL)
    config, weights = repo.blob(b"{}"), repo.blob(b"w" * 5000)
    repo.snapshot(old, {"config.json": config})
    repo.snapshot(new, {"config.json": config, "model.safetensors": weights}, "main")
    with serving(tmp_path) as served:
        served("add", "--from-hf-cache", tmp_path / "cache")
        model = served.point / ".hf" / MODEL
        assert (model / "refs" / "main").read_bytes() == new.encode()
        assert sorted(os.listdir(model / "snapshots")) == sorted([old, new])
        assert (model / "snapshots" / new / "model.safetensors").read_bytes() == b"w" * 5000
        assert os.listdir(model / "snapshots" / old) == ["config.json"]
        with pytest.raises(OSError, match="Read-only file system"):
            (served.point / ".hf" / ".locks").mkdir()


def test_a_branch_that_moves_is_followed(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with serving(tmp_path) as served:
        model = served.point / ".hf" / MODEL
        for content in ("one", "two"):
            (tmp_path / "plain" / "config.json").write_text(content)
            served("add", tmp_path / "plain", NAME)
            name = json.loads(served("log", NAME, "--json"))[0]["commit"][:40]
            until(partial(is_at, model / "refs" / "main", name))
            assert (model / "snapshots" / name / "config.json").read_text() == content
        assert len(os.listdir(model / "snapshots")) == 2, "who has begun with the first can go on"


def is_at(ref: Path, name: str) -> bool:
    """Whether a ref names that commit by now."""
    return ref.exists() and ref.read_text() == name
