"""What other commands do with files that are open on a mount, and with mounts that say nothing."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from modelfloat.fuse.control import mount_states
from modelfloat.fuse.fsname import name_of
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import needs_fuse, sweep
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.waiting import until, until_ended

pytestmark = [pytest.mark.mount, needs_fuse]

SIZE = 30_000_000
"""Bytes of the file: more than a mount reads ahead or keeps of it, so the rest is read later."""


class Place:
    """A store with acme/tiny/file, mounted on `point`; commands run in the folder they lie in."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.store = folder / store
        self.point = folder / "models"
        self.file = self.point / "acme" / "tiny" / "file"
        self.data = os.urandom(SIZE)
        (folder / "file").write_bytes(self.data)
        self("init")
        self("add", "file", "acme/tiny")
        self("mount", "models")

    def __call__(self, *arguments: str, expected: int = 0) -> str:
        """What a command says, all of it."""
        done = modelfloat("--store", self.store.name, *arguments)
        assert done.returncode == expected, done.stderr
        return done.stdout + done.stderr

    def hide_socket(self) -> int:
        """The pid of the mount, which nobody can ask any more."""
        (state,) = mount_states(str(self.store))
        (socket,) = (self.store / "run").iterdir()
        socket.unlink()
        return state.pid


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)  # so both the store and the folder are named by relative paths
    yield Place(tmp_path, getattr(request, "param", "store"))
    sweep(tmp_path)


def test_gc_keeps_what_is_open_and_says_for_whom(place: Place) -> None:
    mount = mount_at(str(place.point))
    assert mount is not None
    assert mount.source == name_of(str(place.store))
    with place.file.open("rb", buffering=0) as file:
        assert file.read(4096) == place.data[:4096]
        place("rm", "acme/tiny")
        (state,) = mount_states(str(place.store))
        assert state.device == mount.device
        said = place("gc", "--grace", "0")
        assert f"pid {os.getpid()} (" in said
        assert "reading acme/tiny/file" in said
        rest = bytearray()
        while part := file.read(1 << 20):
            rest += part
        assert rest == place.data[4096:]
    # The kernel tells the daemon in its own time that the file was closed.
    until(lambda: not mount_states(str(place.store))[0].open)
    assert "freed" in place("gc", "--grace", "0")


def test_gc_elsewhere_deletes_nothing_at_once_beside_this_mount(tmp_path: Path) -> None:
    """Another folder, as on another machine, shares the backends of the one that is mounted."""
    (tmp_path / "file").write_bytes(os.urandom(300_000))
    here, there, point = (str(tmp_path / name) for name in ("here", "there", "models"))

    def command(*arguments: str, expected: int = 0) -> str:
        done = modelfloat("--store", *arguments)
        assert done.returncode == expected, done.stderr
        return done.stdout + done.stderr

    command(here, "init", "--erasure", "2+1")
    command(here, "add", str(tmp_path / "file"), "acme/tiny")
    trio.run(another_site, tmp_path / "here", tmp_path / "there")
    try:
        command(there, "mount", point)
        assert len(list(tmp_path.glob("here/backends/*/sessions/*"))) == 2
        with (Path(point) / "acme/tiny/file").open("rb") as file:
            command(here, "rm", "acme/tiny")
            said = command(here, "gc", "--grace", "0", expected=1)
            assert "has the store mounted, and so short a grace period would delete" in said
            assert file.read() == (tmp_path / "file").read_bytes()
        command(there, "umount", point)
        until(lambda: not list(tmp_path.glob("here/backends/*/sessions/*")))
        assert "freed" in command(here, "gc", "--grace", "0")
    finally:
        sweep(tmp_path)


def test_a_mount_shows_what_another_site_commits(tmp_path: Path) -> None:
    """Of a folder that only reads, as on another machine: branches move, files come and go."""
    files = [tmp_path / name for name in ("first", "second")]
    for file in files:
        file.write_bytes(os.urandom(300_000))
    here, there, point = tmp_path / "here", tmp_path / "there", tmp_path / "models"

    def command(*arguments: object) -> None:
        done = modelfloat("--store", *arguments)
        assert done.returncode == 0, done.stderr

    command(here, "init", "--erasure", "2+1")
    command(here, "add", files[0], "acme/tiny")
    trio.run(another_site, here, there)
    try:
        command(there, "mount", point, "--refresh", "0.2")
        assert (point / "acme/tiny/first").read_bytes() == files[0].read_bytes()
        command(here, "add", files[1], "acme/tiny")
        until(lambda: (point / "acme/tiny/second").exists())
        assert (point / "acme/tiny/second").read_bytes() == files[1].read_bytes()
        command(here, "rm", "acme/tiny/first")
        until(lambda: os.listdir(point / "acme/tiny") == ["second"])
        command(there, "umount", point)
    finally:
        sweep(tmp_path)


def test_gc_keeps_what_is_open_on_a_mount_that_is_hidden(place: Place) -> None:
    with place.file.open("rb", buffering=0) as file:
        place("rm", "acme/tiny")
        place("umount", "--lazy", "models")
        assert f"pid {os.getpid()} (" in place("gc", "--grace", "0")
        os.lseek(file.fileno(), SIZE - 100, os.SEEK_SET)
        assert file.read(100) == place.data[-100:]


@pytest.mark.parametrize("place", ["store", "größe 50%"], indirect=True)
def test_gc_refuses_while_a_mount_cannot_be_asked(place: Place, tmp_path: Path) -> None:
    pid = place.hide_socket()
    place("rm", "acme/tiny")
    said = place("gc", "--grace", "0", expected=1)
    assert f"the mount on {place.point} does not say which files are open on it" in said
    assert said.count("\n") == 1
    assert place.file.name not in os.listdir(place.point)
    (tmp_path / "second").write_bytes(b"second")
    place("add", "second", "acme/second")  # who only wants to know what is mounted goes on
    assert "is what a mount of this store shows" in place(
        "add", str(place.point / "acme"), "acme/third", expected=1
    )
    os.kill(pid, signal.SIGKILL)
    until_ended(pid)
    assert "freed" in place("gc", "--grace", "0")


def test_doctor_ends_with_a_read_that_failed_for_a_lost_shard(place: Place) -> None:
    packs = place.store / "backends" / "d0" / "packs"
    for shard in [path for path in packs.rglob("*") if path.is_file()]:
        shard.unlink()
    with pytest.raises(OSError, match="Input/output"):
        place.file.read_bytes()
    done = modelfloat("--store", place.store, "--json", "doctor")
    error = json.loads(done.stdout)["read_errors"][-1]
    assert (error["file"], error["pid"]) == ("acme/tiny/file", os.getpid())
    assert "no shard has a sound footer" in error["cause"]
    shown = modelfloat("--store", place.store, "doctor").stdout.splitlines()
    assert [line for line in shown if "acme/tiny/file" in line and "has a sound footer" in line]
