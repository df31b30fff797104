"""What the kernel asks a mount for, and gives back: listings, lookups, offsets, attributes."""

import ctypes
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.mounted import PATIENCE, Daemon, mounted, needs_fuse
from modelfloat.tests.support.mounts import forget_names
from modelfloat.tests.support.shelf import ROOM, Shelf
from modelfloat.tests.support.waiting import until

pytestmark = [pytest.mark.mount, needs_fuse]

COUNT = 10_000
NAMES = [f"{i:05}.txt" for i in range(COUNT)]


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, binding: str
) -> Iterator[tuple[Shelf, Daemon]]:
    """One mount a binding for all of it: nothing here changes what another test sees."""
    place = tmp_path_factory.mktemp("served")
    (place / "shelf").mkdir()
    shelf = Shelf(place / "shelf")
    shelf.sha256 = True
    files = {f"folder/{name}": b"same" for name in NAMES} | {"v": b"content"}
    shelf.commit("many/files", files, apart=True)
    shelf.commit("many/moving", files)
    with mounted(place / "shelf", place / "mnt") as daemon:
        yield shelf, daemon
    shelf.close()


@pytest.fixture
def daemon(served: tuple[Shelf, Daemon]) -> Daemon:
    forget_names(served[1].mountpoint)
    served[1].counts()
    return served[1]


def folder(daemon: Daemon) -> Path:
    return daemon.mountpoint / "many" / "files" / "folder"


def test_a_long_listing_asks_for_nothing_but_the_listing(daemon: Daemon) -> None:
    folder(daemon).stat()
    daemon.counts()
    done = subprocess.run(
        ["find", str(folder(daemon)), "-printf", "%f %s %T@ %m\n"],
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    assert done.stdout.count(b"\n") == COUNT + 1
    counts = daemon.counts()
    assert counts["inodes"] >= COUNT
    # The kernel asks for a plain listing after a first one with attributes, until a name is asked
    # for: what that costs is a few requests, never one for each entry.
    assert counts["lookup"] + counts["getattr"] < COUNT / 20
    assert counts["readdir"] < COUNT


def test_ls_of_many(daemon: Daemon) -> None:
    folder(daemon).stat()
    daemon.counts()
    done = subprocess.run(
        ["ls", "-l", str(folder(daemon))], capture_output=True, check=True, timeout=PATIENCE
    )
    assert done.stdout.count(b"\n") == COUNT + 1
    counts = daemon.counts()
    assert counts["lookup"] + counts["getattr"] < COUNT / 20


def test_what_the_kernel_forgets_is_forgotten(daemon: Daemon) -> None:
    for _ in range(2):
        assert sorted(os.listdir(folder(daemon))) == NAMES
        for name in NAMES[:100]:
            assert (folder(daemon) / name).stat().st_size == 4
    assert daemon.counts()["inodes"] > 100
    forget_names(daemon.mountpoint)
    until(lambda: daemon.counts()["inodes"] == 0)
    assert (folder(daemon) / NAMES[7]).read_bytes() == b"same"
    assert daemon.counts()["inodes"] == 4


def test_offsets_of_a_directory_are_kept(daemon: Daemon) -> None:
    """telldir and seekdir, as glibc has them."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.opendir.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.readdir.restype = ctypes.c_void_p
    handle = ctypes.c_void_p(libc.opendir(os.fsencode(folder(daemon))))
    assert handle.value

    def entry() -> str:
        address = libc.readdir(handle)
        # d_name follows an inode and an offset of 8 bytes each, a length of 2 and a type of 1.
        return ctypes.string_at(address + 19).decode()

    seen = {}
    for _ in range(COUNT):
        at = libc.telldir(handle)
        seen[at] = entry()
    assert sorted(set(seen.values()) - {".", ".."})[:3] == NAMES[:3]
    for at in list(seen)[::-997]:
        libc.seekdir(handle, ctypes.c_long(at))
        assert entry() == seen[at]
    libc.closedir(handle)


def test_a_listing_goes_on_while_commits_come(served: tuple[Shelf, Daemon]) -> None:
    shelf, daemon = served
    with os.scandir(daemon.mountpoint / "many" / "moving" / "folder") as entries:
        found = [next(entries).name for _ in range(10)]
        shelf.commit("many/moving", {"folder/new": b"new"})
        found += [entry.name for entry in entries]
    assert found == NAMES
    assert os.listdir(daemon.mountpoint / "many" / "moving@main" / "folder") == ["new"]


def test_extended_attributes(daemon: Daemon) -> None:
    path = daemon.mountpoint / "many" / "files" / "v"
    listed = os.listxattr(path)
    assert sorted(listed) == [
        f"user.modelfloat.{name}" for name in ("blake3", "chunks", "cid", "sha256")
    ]
    assert os.getxattr(path, "user.modelfloat.chunks") == b"1"
    assert len(os.getxattr(path, "user.modelfloat.sha256")) == 64
    assert len(os.getxattr(path.parent, "user.modelfloat.commit")) == 64
    assert os.listxattr(daemon.mountpoint) == []
    for name in ("user.none", "user.modelfloat.commit"):
        with pytest.raises(OSError) as caught:
            os.getxattr(path, name)
        assert caught.value.errno == errno.ENODATA
    libc = ctypes.CDLL(None, use_errno=True)
    short = ctypes.create_string_buffer(10)
    name = b"user.modelfloat.blake3"
    assert libc.getxattr(os.fsencode(path), name, short, ctypes.c_size_t(10)) == -1
    assert ctypes.get_errno() == errno.ERANGE
    assert libc.listxattr(os.fsencode(path), short, ctypes.c_size_t(10)) == -1
    assert ctypes.get_errno() == errno.ERANGE
    assert libc.getxattr(os.fsencode(path), name, None, ctypes.c_size_t(0)) == 64


@pytest.mark.skipif(shutil.which("getfattr") is None, reason="there is no getfattr")
def test_getfattr_shows_them(daemon: Daemon) -> None:
    command = ["getfattr", "-d", "--absolute-names", str(daemon.mountpoint / "many/files/v")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert 'user.modelfloat.chunks="1"' in done.stdout
    assert done.stderr == ""


def test_df_shows_the_space(daemon: Daemon) -> None:
    found = os.statvfs(daemon.mountpoint)
    assert found.f_blocks * found.f_frsize == ROOM
    assert found.f_bavail * found.f_frsize == ROOM // 4
    assert found.f_namemax == 255
    command = ["df", "--output=used,avail", "-B1", str(daemon.mountpoint)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.splitlines()[1].split() == [str(ROOM - ROOM // 4), str(ROOM // 4)]


def test_the_options_of_the_mount(served: tuple[Shelf, Daemon]) -> None:
    shelf, daemon = served
    mount = mount_at(str(daemon.mountpoint))
    assert mount is not None
    assert (mount.type, mount.source) == ("fuse.modelfloat", shelf.path)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    (line,) = [line for line in lines if f" {mount.device} " in line]
    mine, _, superblock = line.partition(" - ")
    assert {"ro", "nosuid", "nodev", "noatime"} <= set(mine.split()[5].split(","))
    assert {"ro", "default_permissions"} <= set(superblock.split()[2].split(","))
