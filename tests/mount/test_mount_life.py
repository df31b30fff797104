"""The life of a mount: how it begins, what it refuses, and every way in which it ends."""

import contextlib
import errno
import os
import signal
import subprocess
from pathlib import Path

import pytest

from modelfloat.errors import ModelFloatError
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.fuse.mounting import mounts, unmount
from modelfloat.tests.support.mounted import PATIENCE, Daemon, mounted, needs_fuse
from modelfloat.tests.support.shelf import Shelf

pytestmark = [pytest.mark.mount, needs_fuse]


@pytest.fixture(autouse=True)
def filled(shelf: Shelf) -> None:
    shelf.commit("acme/llama", {"v": b"content"})


def refusal(folder: Path, mountpoint: Path) -> str:
    """What a mount that is refused says."""
    daemon = Daemon(folder, mountpoint)
    try:
        assert daemon.wait() == 1
        return daemon.log()
    finally:
        daemon.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_unmount(shelf_folder: Path, mountpoint: Path, number: int) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        assert (mountpoint / "acme" / "llama" / "v").read_bytes() == b"content"
        assert daemon.signal(number) == 0
        assert mount_at(str(mountpoint)) is None
        assert os.listdir(mountpoint) == []
        assert "Traceback" not in daemon.log()


def test_a_signal_unmounts_what_is_in_use(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        held = os.open(mountpoint / "acme" / "llama" / "v", os.O_RDONLY)
        assert daemon.signal(signal.SIGTERM) == 0
        assert mount_at(str(mountpoint)) is None
        with contextlib.suppress(OSError):  # nobody is there any more to hear of it
            os.close(held)


def test_unmounting_ends_the_daemon(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        assert str(mountpoint) in [mount.path for mount in mounts()]
        unmount(str(mountpoint))
        assert daemon.wait() == 0
        assert mount_at(str(mountpoint)) is None
        assert "Traceback" not in daemon.log()


def test_unmounting_what_is_in_use_is_refused(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        with (mountpoint / "acme" / "llama" / "v").open("rb") as file:
            with pytest.raises(ModelFloatError, match="is in use"):
                unmount(str(mountpoint))
            assert file.read() == b"content"
        unmount(str(mountpoint))
        assert daemon.wait() == 0


def test_a_dead_mount_is_cleared_first(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as killed:
        assert killed.signal(signal.SIGKILL) == -signal.SIGKILL
        with pytest.raises(OSError) as caught:
            os.listdir(mountpoint / "acme")
        assert caught.value.errno == errno.ENOTCONN
        with mounted(shelf_folder, mountpoint):
            assert (mountpoint / "acme" / "llama" / "v").read_bytes() == b"content"
            assert [mount.path for mount in mounts()].count(str(mountpoint)) == 1


def test_a_dead_mount_can_be_unmounted(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        daemon.signal(signal.SIGKILL)
        unmount(str(mountpoint))
        assert os.listdir(mountpoint) == []


def test_a_connection_that_is_cut_ends_the_daemon(shelf_folder: Path, mountpoint: Path) -> None:
    with mounted(shelf_folder, mountpoint) as daemon:
        subprocess.run(["umount", "-l", str(mountpoint)], check=True, timeout=PATIENCE)
        assert daemon.wait() == 0


def test_refusals(shelf_folder: Path, mountpoint: Path) -> None:
    mountpoint.mkdir()
    (mountpoint / "mine").touch()
    assert "ExistsError" in (said := refusal(shelf_folder, mountpoint))
    assert "not empty" in said
    (mountpoint / "mine").unlink()
    with mounted(shelf_folder, mountpoint):
        assert "mounted on" in refusal(shelf_folder, mountpoint)
        assert (mountpoint / "acme" / "llama" / "v").read_bytes() == b"content"
