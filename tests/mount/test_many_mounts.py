"""`modelfloat mount` as people use it: from anywhere, of several stores, many times, by mistake."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest

from modelfloat.fuse.control import mount_states
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import needs_fuse, sweep
from modelfloat.tests.support.mounts import remount_read_only, small_tmpfs

pytestmark = [pytest.mark.mount, needs_fuse]


def make_store(folder: Path, name: str) -> Path:
    """A store that holds acme/NAME/file, with NAME in it."""
    folder.mkdir(exist_ok=True)
    (folder / "file").write_text(name)
    store = folder / "store"
    assert modelfloat("--store", store, "init").returncode == 0
    assert modelfloat("--store", store, "add", folder / "file", f"acme/{name}").returncode == 0
    return store


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    make_store(tmp_path, "tiny")
    yield tmp_path
    sweep(tmp_path)


def test_from_another_directory(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = modelfloat("--store", "store", "mount", "a/models")
    assert done.returncode == 0, done.stderr
    assert (place / "a" / "models" / "acme" / "tiny" / "file").read_text() == "tiny"
    monkeypatch.chdir(place / "a")
    assert modelfloat("umount", "../a/./models").returncode == 0
    assert mount_at(str(place / "a" / "models")) is None


def test_many_of_one_store_and_some_of_another(place: Path) -> None:
    other = make_store(place / "other", "second")
    for number in range(3):
        done = modelfloat("--store", place / "store", "mount", place / f"m{number}")
        assert done.returncode == 0, done.stderr
    assert modelfloat("--store", other, "mount", place / "n").returncode == 0
    for number in range(3):
        assert (place / f"m{number}" / "acme" / "tiny" / "file").read_text() == "tiny"
    assert (place / "n" / "acme" / "second" / "file").read_text() == "second"
    assert len(mount_states(str(place / "store"))) == 3
    assert [state.mountpoint for state in mount_states(str(other))] == [str(place / "n")]
    for name in ("m1", "n", "m0", "m2"):
        assert modelfloat("umount", place / name).returncode == 0
        assert mount_at(str(place / name)) is None


def test_whose_files_are_shown_to_be(place: Path) -> None:
    options = ("--uid=1234", "--gid=2345", "--umask=037")
    assert modelfloat("--store", place / "store", "mount", place / "m", *options).returncode == 0
    file = place / "m" / "acme" / "tiny" / "file"
    found = [os.stat(path) for path in (file, file.parent, place / "m")]
    assert [(s.st_uid, s.st_gid, s.st_mode & 0o777) for s in found] == [
        (1234, 2345, 0o440),
        (1234, 2345, 0o540),
        (1234, 2345, 0o540),
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may choose freely")
@pytest.mark.parametrize(("flag", "others"), [(None, True), ("--no-allow-other", False)])
def test_root_mounts_for_all_unless_told_not_to(
    place: Path, flag: str | None, others: bool
) -> None:
    flags = [] if flag is None else [flag]
    assert modelfloat("--store", place / "store", "mount", place / "m", *flags).returncode == 0
    line = next(
        line
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if f"{place}/m " in line
    )
    assert ("allow_other" in line) == others


@pytest.mark.parametrize(
    ("folder", "status", "told"),
    [
        ("file", 1, "it is no folder"),
        ("file/below", 1, "Not a directory"),
        ("/proc/none", 1, "No such file or directory"),
        ("store/mnt", 2, "it lies inside the store"),
    ],
)
def test_folders_that_cannot_be(place: Path, folder: str, status: int, told: str) -> None:
    done = modelfloat("--store", place / "store", "mount", place / folder)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("modelfloat: cannot mount on ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_stores_that_cannot_be(place: Path) -> None:
    def refused(store: Path) -> str:
        done = modelfloat("--store", store, "mount", place / "m")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "there is no store" in refused(place / "none")
    assert not (place / "none").exists()
    index = place / "store" / "index"
    with lmdb.open(str(index), max_dbs=32) as env, env.begin(write=True) as change:
        assert change.put(b"format", b"99", db=env.open_db(b"meta", change))
    assert "upgrade modelfloat" in refused(place / "store")
    (index / "data.mdb").write_bytes(b"no index")
    assert "rebuild-index" in refused(place / "store")
    assert mount_at(str(place / "m")) is None


def test_a_store_that_cannot_be_written_to(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "disk", "50m") as disk:
        store = make_store(disk, "tiny")
        remount_read_only(disk)
        done = modelfloat("--store", store, "mount", tmp_path / "m", "--json")
        try:
            assert done.returncode == 0, done.stderr
            assert (tmp_path / "m" / "acme" / "tiny" / "file").read_text() == "tiny"
            assert json.loads(done.stdout) == {"mounted": str(tmp_path / "m"), "log": None}
            assert "no log is kept of this mount" in done.stderr
            assert mount_states(str(store)) == []
            assert modelfloat("umount", tmp_path / "m").returncode == 0
        finally:
            sweep(tmp_path)
