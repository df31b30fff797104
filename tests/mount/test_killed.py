"""A daemon that is killed: who reads is told, doctor names it, and one command brings it back.

Beside it: what a daemon may do, and what it must not hand on to others.
"""

import contextlib
import errno
import json
import mmap
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.control import mount_states
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import PATIENCE, needs_fuse, sweep
from modelfloat.tests.support.namespaces import as_root

pytestmark = [pytest.mark.mount, needs_fuse]

CONTENT = os.urandom(3_000_000)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mount of a store that holds acme/tiny/file."""
    monkeypatch.setenv("MODELFLOAT_STORE", str(tmp_path / "store"))
    (tmp_path / "file").write_bytes(CONTENT)
    assert modelfloat("init").returncode == 0
    assert modelfloat("add", tmp_path / "file", "acme/tiny").returncode == 0
    mounted = modelfloat("mount", tmp_path / "models")
    assert mounted.returncode == 0, mounted.stderr
    yield tmp_path / "models"
    sweep(tmp_path)


def daemon(folder: Path) -> int:
    """The pid of who serves the store's only mount."""
    (state,) = mount_states(str(folder.parent / "store"))
    return state.pid


def kill(folder: Path) -> None:
    """End the daemon without a word, and wait until it is no more."""
    pid = daemon(folder)
    handle = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([handle], [], [], PATIENCE)[0]
    os.close(handle)


def test_one_command_brings_it_back(folder: Path) -> None:
    file = folder / "acme" / "tiny" / "file"
    held = os.open(file, os.O_RDONLY)
    assert os.pread(held, 4096, 0) == CONTENT[:4096]
    kill(folder)
    with pytest.raises(OSError) as caught:
        os.listdir(folder)
    assert caught.value.errno == errno.ENOTCONN
    report = json.loads(modelfloat("doctor", "--json").stdout)
    (found,) = [f for f in report["findings"] if f"{folder} is dead" in f["text"]]
    assert found["level"] == "problem"
    assert f" mount {folder}` serves it anew" in found["remedy"]
    again = modelfloat("mount", folder)
    assert again.returncode == 0, again.stderr
    assert file.read_bytes() == CONTENT
    with pytest.raises(OSError):  # what the dead one had open stays dead
        os.pread(held, 4096, 2_000_000)
    with contextlib.suppress(OSError):
        os.close(held)
    assert f"{folder} is dead" not in modelfloat("doctor").stdout
    assert modelfloat("umount", folder).returncode == 0
    assert mount_at(str(folder)) is None


def test_children_get_no_descriptor_of_the_device(folder: Path) -> None:
    """Else the mount would outlive its daemon for as long as they live."""
    pid, found = daemon(folder), 0
    for number in os.listdir(f"/proc/{pid}/fd"):
        if os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/fuse":
            info = Path(f"/proc/{pid}/fdinfo/{number}").read_text()
            flags = int(info.split("flags:")[1].split()[0], 8)
            assert flags & os.O_CLOEXEC
            found += 1
    assert found > 0


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_root_of_a_container_that_may_not_mount(folder: Path) -> None:
    """It is told in one line what the container lacks, and no mount is left behind."""
    assert modelfloat("umount", folder).returncode == 0
    program = [sys.executable, "-m", "modelfloat.cli.main", "mount", str(folder)]
    limited = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--no-new-privs"]
    done = subprocess.run([*limited, *program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "--cap-add SYS_ADMIN" in done.stderr
    assert mount_at(str(folder)) is None


def test_a_page_that_was_mapped(folder: Path) -> None:
    """What the kernel has of a mapped file stays readable when its daemon is gone."""
    with (folder / "acme" / "tiny" / "file").open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    assert view[:] == CONTENT
    kill(folder)
    assert view[:4096] == CONTENT[:4096]
