"""`modelfloat umount`: who still uses a mount, lazily, after a crash, and what is not ours."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.errors import BusyError
from modelfloat.fuse import liveness
from modelfloat.fuse.control import mount_states
from modelfloat.fuse.liveness import Life, life_of
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.fuse.unmounting import unmount, users
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import Daemon, mounted, needs_fuse
from modelfloat.tests.support.mounts import small_tmpfs
from modelfloat.tests.support.readers import finish, holding
from modelfloat.tests.support.shelf import Shelf

pytestmark = [pytest.mark.mount, needs_fuse]


@pytest.fixture
def daemon(shelf: Shelf, shelf_folder: Path, mountpoint: Path) -> Iterator[Daemon]:
    shelf.commit("acme/llama", {"v": b"content", "w": b"other"})
    with mounted(shelf_folder, mountpoint) as daemon:
        yield daemon


def llama(daemon: Daemon) -> Path:
    return daemon.mountpoint / "acme" / "llama"


@pytest.mark.parametrize(
    ("how", "path", "told"),
    [
        ("open", "v", "acme/llama/v"),
        ("map", "v", "acme/llama/v"),
        ("cwd", "", "(working directory)"),
    ],
)
def test_who_uses_it_is_listed(daemon: Daemon, how: str, path: str, told: str) -> None:
    with holding(llama(daemon) / path, how) as process:
        done = modelfloat("umount", daemon.mountpoint)
        assert done.returncode == 1
        assert done.stdout == ""
        listed, complaint = done.stderr.splitlines()
        assert listed == f"  pid {process.pid} (python): {told}"
        assert complaint.startswith(f"modelfloat: {daemon.mountpoint} is in use; ")
        assert "--lazy" in complaint
        found = json.loads(modelfloat("umount", daemon.mountpoint, "--json").stdout)
        assert found == {
            "unmounted": None,
            "in_use_by": [{"pid": process.pid, "name": "python", "files": [told]}],
        }
        assert finish(process) == ("" if how == "cwd" else "content")
    assert modelfloat("umount", daemon.mountpoint).returncode == 0
    assert daemon.wait() == 0


def test_lazily_it_ends_with_its_last_user(daemon: Daemon) -> None:
    with holding(llama(daemon) / "v") as process:
        done = modelfloat("umount", "--lazy", daemon.mountpoint)
        assert done.returncode == 0
        assert f"pid {process.pid} (python): acme/llama/v" in done.stderr
        assert "it ends with its last user" in done.stderr
        assert mount_at(str(daemon.mountpoint)) is None
        assert daemon.process.poll() is None
        assert finish(process) == "content"
    assert daemon.wait() == 0


def test_what_is_hidden_says_so_and_uses_no_other_mount(daemon: Daemon, shelf_folder: Path) -> None:
    (state,) = mount_states(str(shelf_folder))
    assert not state.hidden
    with holding(llama(daemon) / "v"):
        unmount(str(daemon.mountpoint), lazy=True)
        (state,) = mount_states(str(shelf_folder))
        assert state.hidden
        with mounted(shelf_folder, daemon.mountpoint):
            assert users(str(daemon.mountpoint)) == []


def test_from_inside_itself_it_is_unmounted(daemon: Daemon) -> None:
    inside = f"import os; os.chdir({str(llama(daemon))!r}); "
    call = f"main.run(['umount', {str(daemon.mountpoint)!r}])"
    program = f"{inside}from modelfloat.cli import main; raise SystemExit({call})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert daemon.wait() == 0


def test_lazily_without_users(daemon: Daemon) -> None:
    done = modelfloat("umount", "--lazy", daemon.mountpoint, "--json")
    assert json.loads(done.stdout) == {"unmounted": str(daemon.mountpoint), "in_use_by": []}
    assert daemon.wait() == 0


def test_a_dead_mount_with_open_files_is_unmounted(daemon: Daemon, shelf_folder: Path) -> None:
    with holding(llama(daemon) / "v"):
        daemon.signal(signal.SIGKILL)
        assert life_of(str(daemon.mountpoint)) is Life.DEAD
        with pytest.raises(OSError) as caught:
            os.listdir(daemon.mountpoint)
        assert caught.value.errno == errno.ENOTCONN
        done = modelfloat("umount", daemon.mountpoint)
        assert (done.returncode, done.stderr) == (0, "")
        assert os.listdir(daemon.mountpoint) == []
        assert os.listdir(shelf_folder / "run") == []


def test_a_mount_that_hangs_is_told_and_can_be_hidden(
    daemon: Daemon, shelf_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "PATIENCE", 0.3)
    with holding(llama(daemon) / "v") as process:
        daemon.process.send_signal(signal.SIGSTOP)
        assert life_of(str(daemon.mountpoint)) is Life.HANGS
        again = Daemon(shelf_folder, daemon.mountpoint)
        try:
            assert again.wait() == 1
            assert "does not answer" in again.log()
            assert f"modelfloat umount --lazy {daemon.mountpoint}" in again.log()
        finally:
            again.close()
        with pytest.raises(BusyError, match="does not answer, and programs wait for it; `model"):
            unmount(str(daemon.mountpoint))
        assert [user.pid for user in users(str(daemon.mountpoint))] == [process.pid]
        unmount(str(daemon.mountpoint), lazy=True)
        assert os.listdir(daemon.mountpoint) == []
        daemon.process.send_signal(signal.SIGCONT)
        assert finish(process) == "content"
    assert daemon.wait() == 0


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path / "disk", "1m") as disk:
        done = modelfloat("umount", disk)
        assert done.returncode == 1
        assert f"no store is mounted on {disk}" in done.stderr
        assert disk.is_mount()


def test_only_a_folder_outside_is_mounted_on(daemon: Daemon, shelf_folder: Path) -> None:
    """Neither inside another mount of ours nor inside the store."""
    for place, told in (
        (llama(daemon), "lies inside the store mounted on"),
        (daemon.mountpoint / "acme" / "llama" / "new", "lies inside the store mounted on"),
        (daemon.mountpoint / "new", "lies inside the store mounted on"),
        (shelf_folder / "mnt", "lies inside the store"),
        (shelf_folder, "lies inside the store"),
    ):
        refused = Daemon(shelf_folder, place)
        try:
            assert refused.wait() == 1
            assert "UsageError" in refused.log()
            assert told in refused.log()
        finally:
            refused.close()
    assert not (shelf_folder / "mnt").exists()
