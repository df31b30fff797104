"""What commands say of a store whose only backend is gone: each fact once, and what to do."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cli.output import human_size
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounts import small_tmpfs


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with one file of several chunks, acme/tiny/w.bin, and its backend away."""
    path, file = tmp_path / "store", tmp_path / "w.bin"
    file.write_bytes(bytes(range(256)) * 9000)
    assert modelfloat("--store", path, "init").returncode == 0
    assert modelfloat("--store", path, "add", file, "acme/tiny").returncode == 0
    shutil.move(path / "backends", tmp_path / "away")
    return path


def test_cat_names_the_file_and_the_backend_in_one_line(store: Path) -> None:
    done = modelfloat("--store", store, "cat", "acme/tiny/w.bin")
    first, last = done.stderr.splitlines()
    assert "backend d0 counts as down: the directory" in first
    assert last.startswith("modelfloat: acme/tiny/w.bin: chunk ")
    assert "cannot be read: d0 is down; bring back" in last
    assert done.returncode == 4


def test_get_names_a_file_once(store: Path, tmp_path: Path) -> None:
    done = modelfloat("--store", store, "get", "acme/tiny", tmp_path / "out")
    assert len(done.stderr.splitlines()) == 3
    assert done.stderr.count("w.bin") == 1


@pytest.mark.parametrize("command", [["backend", "ls"], ["stats"], ["verify"]])
def test_a_backend_that_is_down_is_told_once(store: Path, command: list[str]) -> None:
    done = modelfloat("--store", store, *command)
    assert not done.stderr
    assert done.stdout.count("is gone") == 1
    assert "its backend is down" not in done.stdout


def test_verify_counts_what_a_lost_backend_holds(store: Path) -> None:
    found = modelfloat("--store", store, "verify").stdout
    assert "d0: down, with " in found


def test_a_damaged_marker_is_told_as_it_is_mended(store: Path, tmp_path: Path) -> None:
    shutil.move(tmp_path / "away", store / "backends")
    (store / "backends/d0/modelfloat.json").write_text("no JSON")
    told = modelfloat("--store", store, "ls").stderr
    assert told.count("down") == 1
    assert "`modelfloat verify --repair` writes it anew" in told
    assert modelfloat("--store", store, "verify", "--repair").returncode == 3
    assert not modelfloat("--store", store, "ls").stderr


def test_doctor_says_what_to_do_about_a_disk_that_is_gone_for_good(store: Path) -> None:
    done = modelfloat("--store", store, "doctor")
    assert "is the disk mounted? If it is gone for good: `modelfloat backend add`" in done.stdout
    assert done.returncode == 1


def test_a_small_disk_is_said_to_have_a_small_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFLOAT_RESERVE", "256MiB")
    with small_tmpfs(tmp_path / "small", "100m") as disk:
        said = modelfloat("--store", disk / "store", "init").stdout
        kept = (disk / "store/reserve").stat().st_size
        assert f"is {human_size(kept)} instead of 268 MB" in said
