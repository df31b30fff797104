"""The disk cache's folder and quota: what it may take, what goes first, what never goes."""

import errno
import os
import stat
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.cas.cache import quota as quota_module
from modelfloat.cas.cache.cachedfile import CachedFile, open_cached
from modelfloat.cas.cache.datafile import DATA, cached_name
from modelfloat.cas.cache.folder import CacheFolder
from modelfloat.cas.cache.mapfile import MAP
from modelfloat.cas.cache.options import CacheOptions
from modelfloat.cas.cache.quota import Quota
from modelfloat.cas.formats.cachemap import MapHead
from modelfloat.cas.read.recipe import ChunkSpan
from modelfloat.errors import UnsupportedError
from modelfloat.ids import ChunkId
from modelfloat.tests.support.samples import STORE, noise

SIZE = 400_000


@pytest.fixture
def folder(tmp_path: Path) -> CacheFolder:
    made = CacheFolder(str(tmp_path / "cache"), STORE)
    made.make()
    return made


def head(label: str) -> MapHead:
    return MapHead(SIZE, 1, blake3(label.encode()).digest(), bytes(32))


def cached(folder: CacheFolder, label: str, used: int) -> CachedFile:
    """A whole file in the cache, last used then; open."""
    file = open_cached(folder.path, head(label))
    assert file is not None
    data = noise(label, SIZE)
    file.put(ChunkSpan(ChunkId(blake3(data).digest()), 0, SIZE, 0), memoryview(data))
    file.flush()
    os.utime(Path(folder.path) / (cached_name(head(label)) + MAP), (used, used))
    return file


def labels(folder: CacheFolder) -> list[str]:
    """Which of the files a, b, c, d are there, in the order in which they would go."""
    names = {cached_name(head(label)): label for label in "abcd"}
    return [names[entry.name] for entry in folder.entries()]


def quota(folder: CacheFolder, size: int, keep_free: int | None = 0) -> Quota:
    return Quota(folder, CacheOptions(folder.path, size, keep_free))


def test_what_was_used_longest_ago_goes_first(folder: CacheFolder) -> None:
    for used, label in enumerate("cabd", 1000):
        cached(folder, label, used).close()
    assert labels(folder) == ["c", "a", "b", "d"]
    assert quota(folder, 4 * SIZE).admit(SIZE)
    assert labels(folder) == ["b", "d"]


def test_what_is_open_in_some_process_never_goes(folder: CacheFolder) -> None:
    files = [cached(folder, label, 1000 + n) for n, label in enumerate("abc")]
    files[1].close()
    assert not quota(folder, 1_000_000).admit(SIZE)
    assert labels(folder) == ["a", "c"]
    assert all(file.has(0) for file in (files[0], files[2]))


def test_what_is_used_again_is_used_last(folder: CacheFolder) -> None:
    for used, label in enumerate("abc", 1000):
        cached(folder, label, used).close()
    file = open_cached(folder.path, head("a"))
    assert file is not None
    file.touch()
    file.close()
    assert labels(folder) == ["b", "c", "a"]


def test_room_is_asked_for_again_after_a_grain(
    folder: CacheFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has filled the folder meanwhile."""
    monkeypatch.setattr(quota_module, "GRAIN", 1000)
    asked = quota(folder, 1_000_000)
    assert asked.admit(900)
    first, second = cached(folder, "a", 1000), cached(folder, "b", 1001)
    assert asked.admit(100)
    assert not asked.admit(500_000)
    assert (asked.closed, labels(folder)) == (True, ["a", "b"])
    first.close()
    second.close()


def test_the_disk_keeps_what_is_to_stay_free(folder: CacheFolder) -> None:
    cached(folder, "a", 1000).close()
    free, total = folder.space()
    assert not quota(folder, 10**15, keep_free=free + SIZE * 1000).admit(1)
    assert labels(folder) == []
    assert quota(folder, 10**15, keep_free=0).admit(1)
    assert quota(folder, 10**15, keep_free=None).keep_free() <= total // 10


def test_others_filled_the_disk(folder: CacheFolder) -> None:
    for used, label in enumerate("abc", 1000):
        cached(folder, label, used).close()
    lowered = quota(folder, 2 * SIZE + 100_000)
    lowered.tend()
    assert labels(folder) == ["b", "c"]
    lowered.tend()
    assert labels(folder) == ["b", "c"]


def test_only_one_process_makes_room_at_a_time(folder: CacheFolder) -> None:
    cached(folder, "a", 1000).close()
    with folder.alone() as alone:
        assert alone
        assert not quota(folder, SIZE).admit(SIZE)
    assert labels(folder) == ["a"]
    assert quota(folder, SIZE).admit(SIZE // 2)
    assert labels(folder) == []


def test_a_full_disk_gives_room_back(folder: CacheFolder) -> None:
    cached(folder, "a", 1000).close()
    full = quota(folder, 100 * SIZE)
    assert full.admit(1)
    full.close()
    assert (full.closed, full.admit(1), labels(folder)) == (True, False, [])


def test_a_disk_that_stays_full_does_not_empty_the_cache(folder: CacheFolder) -> None:
    """What was just deleted may not come free at once, or be of no use."""
    for used, label in enumerate("abc", 1000):
        cached(folder, label, used).close()
    full = quota(folder, 20 * SIZE)
    for _ in range(3):
        full.close()
    assert labels(folder) == ["b", "c"]


def test_what_an_interrupted_deletion_left_is_deleted(folder: CacheFolder) -> None:
    cached(folder, "a", 1000).close()
    (Path(folder.path) / (cached_name(head("a")) + MAP)).unlink()
    cached(folder, "b", 1000).close()
    (Path(folder.path) / (cached_name(head("b")) + DATA)).unlink()
    assert len(folder.entries()) == 2
    assert all(folder.remove(entry.name) for entry in folder.entries())
    assert os.listdir(folder.path) == []


def test_strangers_files_are_left_alone(folder: CacheFolder) -> None:
    name = cached_name(head("a"))
    for stranger in ("notes.txt", f"{name}.data.old", f"x{name}.map"):
        (Path(folder.path) / stranger).write_bytes(bytes(10_000))
    (Path(folder.path) / (cached_name(head("b")) + DATA)).symlink_to("notes.txt")
    (Path(folder.path) / (cached_name(head("c")) + DATA)).mkdir()
    assert folder.entries() == []
    quota(folder, 100).admit(1)
    assert len(os.listdir(folder.path)) == 5


def test_the_folder_is_its_owners_only(tmp_path: Path) -> None:
    folder = CacheFolder(str(tmp_path / "deep" / "cache"), STORE)
    folder.make()
    assert stat.S_IMODE(os.stat(folder.path).st_mode) == 0o700
    os.chmod(folder.path, 0o777)
    folder.make()
    assert stat.S_IMODE(os.stat(folder.path).st_mode) == 0o700


def test_another_users_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CacheFolder(str(tmp_path), STORE)
    folder.make()
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(folder.path).st_uid + 1)
    with pytest.raises(UnsupportedError, match="not this user's folder"):
        folder.make()


def test_each_user_has_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where caches of several users lie in one folder none shuts the others out."""
    user = os.geteuid()
    CacheFolder(str(tmp_path), STORE).make()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert CacheFolder(str(tmp_path), STORE).entries() == []
    assert not os.path.exists(CacheFolder(str(tmp_path), STORE).path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes folders for others")
def test_what_root_makes_in_a_users_folder_is_the_users(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 65534, 65533)
    folder = CacheFolder(str(tmp_path / "store" / "deep" / "cache"), STORE)
    folder.make()
    for above in ("deep", "deep/cache"):
        found = os.stat(tmp_path / "store" / above)
        assert (found.st_uid, found.st_gid) == (65534, 65533)
    assert os.stat(folder.path).st_uid == 0


def test_a_link_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{STORE.hex()}-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsupportedError, match="not this user's folder"):
        CacheFolder(str(tmp_path), STORE).make()


def test_a_folder_on_a_network_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelfloat.cas.cache.folder.filesystem_type", lambda _: "nfs4")
    with pytest.raises(UnsupportedError, match="network filesystem"):
        CacheFolder(str(tmp_path), STORE).make()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(UnsupportedError, match="Read-only file system"):
        CacheFolder(str(tmp_path), STORE).make()


def test_an_unmounted_disk_is_not_made_up(
    folder: CacheFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The empty folder below it is on another device: caching there would fill the wrong disk."""
    os.rmdir(folder.path)
    monkeypatch.setattr("modelfloat.cas.cache.folder._device_below", lambda _: -1)
    with pytest.raises(UnsupportedError, match="the disk that it was on is gone"):
        folder.make()
    assert not os.path.exists(folder.path)
