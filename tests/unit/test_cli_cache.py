"""`warm`, `stats --cache`, the settings of the disk cache, and what `doctor` says of it."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cas.cache.options import KEEP_FREE, SIZE
from modelfloat.cli.cacheflags import cache_arguments, cache_options
from modelfloat.cli.checks import Level
from modelfloat.cli.checks_cache import examine_cache
from modelfloat.cli.main import run
from modelfloat.cli.settings import Flags, Settings, resolve
from modelfloat.tests.support.diskcaches import cached_data
from modelfloat.tests.support.stores import data_shards, weights

Json = Callable[..., dict[str, object]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with acme/model of three files, whose cache is used though it is local."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    weights(source / "a.safetensors", 3_000_000, "a")
    weights(source / "sub" / "b.safetensors", 2_000_000, "b")
    (source / "empty").touch()
    os.symlink("a.safetensors", source / "link")
    path = tmp_path / "store"
    monkeypatch.setenv("MODELFLOAT_STORE", str(path))
    monkeypatch.setenv("MODELFLOAT_CACHE_LOCAL", "yes")
    monkeypatch.setenv("MODELFLOAT_CACHE_FREE", "0")
    assert run(["--quiet", "init", "--erasure", "2+1"]) == 0
    assert run(["--quiet", "add", str(source), "acme/model"]) == 0
    return path


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Json:
    """Runs a command with --json, which must end with `status`."""

    def tell(*arguments: str, status: int = 0) -> dict[str, object]:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == status
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, dict)
        return found

    return tell


def test_warm_fetches_what_is_missing_and_evict_takes_it_out(store: Path, told: Json) -> None:
    first = told("warm", "acme/model/sub")
    assert (first["files"], first["failures"]) == (1, [])
    assert first["fetched"] == first["bytes"]
    second = told("warm", "acme/model")
    assert second["files"] == 3
    assert isinstance(second["fetched"], int)
    assert 3_000_000 <= second["fetched"] < 3_010_000
    for shard in data_shards(store):
        shard.unlink()
    assert told("warm", "acme/model@main")["fetched"] == 0
    originals = {p.stat().st_size: p.read_bytes() for p in (store.parent / "source").rglob("*.s*")}
    for data in cached_data(store / "cache"):
        assert data.read_bytes() == originals[data.stat().st_size]
    shown = told("stats", "--cache")
    assert [file["sealed"] for file in shown["files"]] == [True, True]  # type: ignore[attr-defined]
    assert all(re.fullmatch(r"20[-0-9]+T[:0-9]+Z", f["used"]) for f in shown["files"])  # type: ignore[attr-defined]
    assert {file["path"] for file in shown["files"]} == {  # type: ignore[attr-defined]
        f"acme/model@main/{name}" for name in ("a.safetensors", "sub/b.safetensors")
    }
    assert told("warm", "--evict", "acme/model/link")["files"] == 1
    assert told("warm", "--evict", "acme/model")["files"] == 1
    assert told("stats", "--cache")["used"] == 0


@pytest.mark.usefixtures("store")
def test_stats_tell_how_much_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", "--cache"]) == 0
    assert "0 files; 0 B of 50.0 GB" in capsys.readouterr().out
    assert run(["warm", "acme/model"]) == 0
    assert "3 files, 5.00 MB, in the cache; 5.00 MB fetched" in capsys.readouterr().out
    assert run(["stats", "--cache"]) == 0
    out = capsys.readouterr().out
    assert "2 files, 2 of them whole" in out
    assert len([line for line in out.splitlines() if " whole " in line]) == 2
    assert run(["warm", "--evict", "acme/model/sub"]) == 0
    assert run(["stats", "--cache"]) == 0
    out = capsys.readouterr().out
    assert "\n1 file, whole; 3.0" in out
    assert "\nacme/model@main/a.safetensors  " in out
    assert run(["rm", "acme/model"]) == 0
    assert run(["stats", "--cache"]) == 0
    assert "acme/model" not in capsys.readouterr().out.partition("disk cache")[2]


@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_told_before_what_is_not_cached(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFLOAT_CACHE_LOCAL", "no")
    assert run(["warm", "nosuch/x"]) == 1
    assert "nosuch/x" in capsys.readouterr().err
    assert run(["warm", "acme/model"]) == 1
    assert "the backends of this store are local" in capsys.readouterr().err
    monkeypatch.setenv("MODELFLOAT_CACHE_SIZE", "0")
    assert run(["warm", "acme/model"]) == 1
    assert "cache_size is 0" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_names_that_are_no_text_are_files_of_their_own(told: Json, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    for label, name in (("c", b"x\xff.safetensors"), ("d", b"x\xfe.safetensors")):
        weights(odd / os.fsdecode(name), 100_000, label)
    assert run(["--quiet", "add", str(odd), "acme/odd"]) == 0
    assert told("warm", "acme/odd")["files"] == 2
    assert told("warm", "--evict", "acme/odd")["files"] == 2


def test_a_mount_is_not_begun_with_a_cache_that_cannot_be(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store.parent / "file").touch()
    cache = f"--cache={store.parent / 'file'}"
    for more in ([], ["--foreground"]):
        assert run(["mount", cache, str(store.parent / "m"), *more]) == 1
        assert "the disk cache cannot be kept in" in capsys.readouterr().err
    assert not (store.parent / "m").exists()


def test_what_cannot_be_fetched_is_told_and_the_rest_is_there(
    store: Path, told: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told("warm", "acme/model/sub")["files"] == 1
    for shard in data_shards(store):
        shard.unlink()
    done = told("warm", "acme/model", status=4)
    assert done["files"] == 2
    (failure,) = done["failures"]  # type: ignore[misc]
    assert str(failure).startswith("a.safetensors: ")


@pytest.mark.usefixtures("store")
def test_no_room_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is to keep more free than it has."""
    assert run(["warm", "acme/model"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("MODELFLOAT_CACHE_FREE", "900TB")
    assert run(["warm", "--evict", "acme/model"]) == 0
    assert run(["warm", "acme/model"]) == 1
    captured = capsys.readouterr()
    assert "is not whole in the disk cache, which is full" in captured.err
    assert "the others were not tried" in captured.err


def test_settings_come_from_option_environment_and_store(store: Path) -> None:
    options = cache_options(resolve(Flags()))
    assert (options.folder, options.size) == (str(store / "cache"), SIZE)
    assert (options.local, options.keep_free) == (True, 0)
    options = cache_options(resolve(Flags()), "/fast/cache", "20GB", local=False)
    assert cache_arguments(options) == [
        "--cache=/fast/cache",
        "--cache-size=20000000000",
        "--no-cache-local",
    ]
    plain = cache_options(Settings("/s"))
    assert (plain.keep_free, plain.local) == (None, False)
    assert Settings("/s").number("cache_free") == KEEP_FREE
    assert run(["config", "cache_size", "1GB"]) == 0
    assert cache_options(resolve(Flags())).size == 10**9


def levels(**environment: str) -> list[tuple[Level, str]]:
    known = {**os.environ, **{f"MODELFLOAT_{k.upper()}": v for k, v in environment.items()}}
    return [(f.level, f"{f.text}; {f.remedy}") for f in examine_cache(resolve(Flags(), known))]


def test_doctor_tells_of_the_disk_cache(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((level, text),) = levels()
    assert (level, "none in" in text) == (Level.OK, True)
    assert "remote" not in text
    ((level, text),) = levels(cache_local="no")
    assert (level, "yet; what is read from remote backends" in text) == (Level.OK, True)
    assert run(["--quiet", "warm", "acme/model"]) == 0
    ((level, text),) = levels()
    assert (level, "2 files, 5.0" in text) == (Level.OK, True)
    ((level, text),) = levels(cache_size="1MB")
    assert (level, "where it may take 1.00 MB" in text) == (Level.WARNING, True)
    ((level, text),) = levels(cache_size="900000TB")
    assert (level, "but the disk has" in text) == (Level.WARNING, True)
    ((level, text),) = levels(cache_size="0")
    assert (level, "which nobody uses: cache_size is 0" in text) == (Level.WARNING, True)
    assert text.endswith(f"; rm -r {next((store / 'cache').iterdir())}")
    ((level, text),) = levels(cache_size="0", cache=str(tmp_path / "none"))
    assert (level, "cache_size is 0" in text) == (Level.OK, True)
    (kept,) = (store / "cache").iterdir()
    kept.rename(f"{str(kept).rpartition('-')[0]}-12345")
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    ((level, text),) = levels(store=str(store))
    assert (level, "not this user's folder" in text) == (Level.WARNING, True)
