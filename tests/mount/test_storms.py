"""Storms of reads and page faults from many threads: every byte right, nothing hangs, ever.

The readers are processes of their own with a deadline: a mount that hangs fails the test, and who
waits for it is killed.
"""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.errors import BusyError
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.fuse.unmounting import unmount
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import PATIENCE, Daemon, mounted, needs_fuse, sweep
from modelfloat.tests.support.stores import weights

pytestmark = [pytest.mark.mount, needs_fuse]

SIZE = 12_000_000
PAGES = 1500
"""Reads of a storm, by all its threads; each is one page or four, most of them of the store."""
ENDLESS = 10**7


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 4+2, and the file that is in it."""
    folder = tmp_path_factory.mktemp("storms")
    weights(folder / "model.safetensors", SIZE)
    store = folder / "store"
    assert modelfloat("--store", store, "init", "--erasure", "4+2").returncode == 0
    source = folder / "model.safetensors"
    assert modelfloat("--store", store, "add", source, "acme/model").returncode == 0
    return folder


@pytest.fixture
def daemon(template: Path, tmp_path: Path) -> Iterator[Daemon]:
    shutil.copytree(template / "store", tmp_path / "store")
    with mounted(tmp_path / "store", tmp_path / "mnt", "serve_store") as daemon:
        yield daemon
    sweep(tmp_path)


@contextlib.contextmanager
def storm(
    daemon: Daemon, template: Path, how: str, threads: int, reads: int
) -> Iterator["subprocess.Popen[str]"]:
    """A storm that has begun; ended, whatever becomes of it."""
    path = daemon.mountpoint / "acme" / "model" / "model.safetensors"
    command = [sys.executable, "-m", "modelfloat.tests.support.storm", how, str(path)]
    command += [str(template / "model.safetensors"), str(threads), str(reads)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def outcome(process: "subprocess.Popen[str]") -> dict[str, int]:
    """What a storm counted in the end."""
    said, _ = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0
    return json.loads(said)


@pytest.mark.parametrize("how", ["map", "read"])
@pytest.mark.parametrize("threads", [16, 32])
def test_every_byte_is_right(daemon: Daemon, template: Path, how: str, threads: int) -> None:
    reads = PAGES // threads
    with storm(daemon, template, how, threads, reads) as process:
        assert outcome(process) == {"right": threads * reads}
    assert daemon.log().count("ERROR") == 0


@pytest.mark.parametrize("threads", [16, 32])
def test_while_two_backends_are_lost(daemon: Daemon, template: Path, threads: int) -> None:
    reads = PAGES // threads
    with storm(daemon, template, "map", threads, reads) as process:
        for name in ("d1", "d4"):
            shutil.rmtree(daemon.mountpoint.parent / "store" / "backends" / name)
        assert outcome(process) == {"right": threads * reads}
    assert daemon.log().count("ERROR") == 0


@pytest.mark.parametrize("how", ["map", "read"])
def test_while_somebody_unmounts(daemon: Daemon, template: Path, how: str) -> None:
    """Refused while it is used; hidden on request, and served until the storm is over."""
    path, reads = str(daemon.mountpoint), PAGES // 16
    with storm(daemon, template, how, 16, reads) as process:
        for _ in range(3):
            with pytest.raises(BusyError):
                unmount(path)
        unmount(path, lazy=True)
        assert mount_at(path) is None
        assert outcome(process) == {"right": 16 * reads}
    assert daemon.wait() == 0
    assert daemon.log().count("ERROR") == 0


def test_reads_end_when_the_mount_is_told_to_end(daemon: Daemon, template: Path) -> None:
    """Every request gets its bytes or an error: none is lost, so no thread waits for ever."""
    reads = 4000
    with storm(daemon, template, "read", 16, reads) as process:
        assert daemon.signal(signal.SIGTERM) == 0
        counts = outcome(process)
    assert sum(counts.values()) == 16 * reads
    assert set(counts) <= {"right", "ENOTCONN", "ECONNABORTED", "EIO"}
    assert "ENOTCONN" in counts
    assert mount_at(str(daemon.mountpoint)) is None
    assert "Traceback" not in daemon.log()


def test_page_faults_end_when_the_mount_is_told_to_end(daemon: Daemon, template: Path) -> None:
    """What cannot be served to a mapping is SIGBUS, as for every filesystem; nothing hangs."""
    with storm(daemon, template, "map", 16, ENDLESS) as process:
        assert daemon.signal(signal.SIGTERM) == 0
        assert process.wait(PATIENCE) == -signal.SIGBUS
    assert "Traceback" not in daemon.log()


def test_a_daemon_that_is_killed_leaves_nobody_waiting(daemon: Daemon, template: Path) -> None:
    with storm(daemon, template, "map", 32, ENDLESS) as process:
        daemon.signal(signal.SIGKILL)
        assert process.wait(PATIENCE) == -signal.SIGBUS
    unmount(str(daemon.mountpoint))
