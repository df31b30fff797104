"""Mounts that read through one disk cache: filled by reading and by `warm`, used by all of them."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.diskcaches import cached_data
from modelfloat.tests.support.stores import data_shards, flip_bit, weights
from modelfloat.tests.support.waiting import until, until_ended

pytestmark = pytest.mark.mount


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with acme/model/file, some 5 MB, of which nothing else is kept in memory for long."""
    monkeypatch.setenv("MODELFLOAT_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("MODELFLOAT_CACHE_LOCAL", "yes")
    monkeypatch.setenv("MODELFLOAT_CACHE_FREE", "0")
    weights(tmp_path / "file")
    assert modelfloat("init").returncode == 0
    assert modelfloat("add", tmp_path / "file", "acme/model").returncode == 0
    return tmp_path / "store"


@pytest.fixture
def content(store: Path) -> bytes:
    return (store.parent / "file").read_bytes()


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[list[Path]]:
    """Folders to mount on, unmounted in the end whatever happens."""
    paths = [tmp_path / "one", tmp_path / "other"]
    yield paths
    for path in paths:
        if mount_at(str(path)) is not None:
            modelfloat("umount", path)


def mount(folder: Path) -> Path:
    """Mount; the file."""
    done = modelfloat("mount", folder)
    assert done.returncode == 0, done.stderr
    return folder / "acme" / "model" / "file"


def whole() -> bool:
    """Whether the one file is in the cache, sealed."""
    (file,) = json.loads(modelfloat("stats", "--cache", "--json").stdout)["files"]
    return bool(file["sealed"])


def fetched(folder: Path) -> int:
    """Bytes that a mount has had from its backends."""
    told = json.loads(modelfloat("stats", "--mount", "--json").stdout)
    (mount,) = (mount for mount in told if mount["mountpoint"] == str(folder))
    return int(mount["counts"]["fetched"])


def lose_all(store: Path) -> None:
    for shard in data_shards(store):
        shard.unlink()


def test_what_one_mount_read_the_other_has(
    store: Path, folders: list[Path], content: bytes
) -> None:
    one, other = map(mount, folders)
    assert one.read_bytes() == content
    until(whole)
    lose_all(store)
    assert other.read_bytes() == content
    assert (fetched(folders[0]) > 0, fetched(folders[1])) == (True, 0)
    assert modelfloat("umount", folders[0]).returncode == 0
    again = mount(folders[0])
    assert again.read_bytes() == content
    with again.open("rb") as file:  # open, so it stays whoever wants it out
        busy = modelfloat("warm", "--evict", "acme/model")
        assert (busy.returncode, "1 file open in some mount" in busy.stderr) == (1, True)
        assert os.pread(file.fileno(), 100, 1_000_000) == content[1_000_000:1_000_100]


@pytest.mark.usefixtures("store")
def test_warm_beside_a_mount(store: Path, folders: list[Path], content: bytes) -> None:
    """The mount has the file open while another process fills the cache."""
    file = mount(folders[0])
    with file.open("rb") as reading:
        assert reading.read(1000) == content[:1000]
        assert modelfloat("warm", "acme/model").returncode == 0
        lose_all(store)
        reading.seek(0)
        assert reading.read() == content
    assert file.read_bytes() == content


@pytest.mark.slow
def test_damage_that_touches_the_file_is_noticed(
    store: Path, folders: list[Path], content: bytes
) -> None:
    assert modelfloat("warm", "acme/model").returncode == 0
    flip_bit(cached_data(store / "cache")[0], 3_000_000)
    assert mount(folders[0]).read_bytes() == content


def test_a_mount_that_was_killed_leaves_a_sound_cache(
    store: Path, folders: list[Path], content: bytes
) -> None:
    file = mount(folders[0])
    with file.open("rb") as reading:
        reading.read(2_000_000)
        (told,) = json.loads(modelfloat("stats", "--mount", "--json").stdout)
        os.kill(told["pid"], signal.SIGKILL)
        until_ended(told["pid"])
    modelfloat("umount", "--lazy", folders[0])
    assert mount(folders[1]).read_bytes() == content
    until(whole)
    assert cached_data(store / "cache")[0].read_bytes() == content


@pytest.mark.slow
def test_nothing_on_disk(folders: list[Path], store: Path, content: bytes) -> None:
    done = modelfloat("mount", "--cache-size", "0", folders[0])
    assert done.returncode == 0, done.stderr
    assert (folders[0] / "acme" / "model" / "file").read_bytes() == content
    assert modelfloat("umount", folders[0]).returncode == 0
    assert not (store / "cache").exists()


@pytest.mark.slow
def test_a_cache_in_memory(folders: list[Path], store: Path, content: bytes) -> None:
    memory = Path("/dev/shm") / f"modelfloat-test-{os.getpid()}"
    try:
        done = modelfloat("mount", "--cache", memory, folders[0])
        assert done.returncode == 0, done.stderr
        file = folders[0] / "acme" / "model" / "file"
        assert file.read_bytes() == content
        until(lambda: cached_data(memory)[0].read_bytes() == content)
        assert not (store / "cache").exists()
    finally:
        modelfloat("warm", "--evict", "--cache", memory, "acme/model")
        modelfloat("umount", folders[0])
        for data in [*memory.glob("*/*"), *memory.glob("*")]:
            data.rmdir() if data.is_dir() else data.unlink()
        memory.rmdir()
