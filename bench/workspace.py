"""A private folder on tmpfs that leaves nothing behind: no mount, no file.

A lock file tells a living workspace from one that a killed run left; the next run sweeps those.
"""

import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Final

from modelfloat.bench.harness import BenchError, say

ROOT: Final = Path("/dev/shm")
PREFIX: Final = "modelfloat-bench-"
LOCK: Final = "lock"


@contextmanager
def workspace(needed: int) -> Iterator[Path]:
    """A fresh folder on tmpfs with `needed` bytes free, gone afterwards with all mounted in it."""
    _sweep()
    free = shutil.disk_usage(ROOT).free
    if free < needed:
        raise BenchError(
            f"{ROOT} has {free / 1e9:.1f} GB free, this bench needs {needed / 1e9:.1f} GB; "
            "free some memory or give a smaller --size"
        )
    path = Path(mkdtemp(prefix=PREFIX, dir=ROOT))
    with _locked(path) as lock:
        if lock is None:
            raise BenchError(f"{path} was taken by another bench; run this again")
        try:
            yield path
        finally:
            _remove(path)


def wait_for_mount(path: Path, alive: subprocess.Popen[bytes], seconds: float = 30) -> bool:
    """Whether `path` becomes a mount point in time, while the process that mounts it lives."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive.poll() is None:
        if os.path.ismount(path):
            return True
        time.sleep(0.02)
    return False


def mounts_under(path: Path) -> list[Path]:
    """Every mount point at or below `path`, innermost first."""
    with open("/proc/self/mounts") as file:
        points = [Path(line.split()[1].encode().decode("unicode_escape")) for line in file]
    return sorted((point for point in points if point.is_relative_to(path)), reverse=True)


def _sweep() -> None:
    for path in ROOT.glob(f"{PREFIX}*"):
        with _locked(path) as lock:
            if lock is not None:
                say(f"sweeping what an earlier bench left: {path.name}")
                _remove(path)


@contextmanager
def _locked(path: Path) -> Iterator[IO[str] | None]:
    """The lock on a workspace, or None where a living bench, or another user, has it."""
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(open(path / LOCK, "a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        yield lock


def unmount(point: Path) -> None:
    """Detach whatever is mounted on `point`, even where it is still in use."""
    command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-uz"]
    subprocess.run([*command, str(point)], check=False, capture_output=True)


def _remove(path: Path) -> None:
    for point in mounts_under(path):
        unmount(point)
    if mounts_under(path):
        raise BenchError(f"something under {path} is still mounted; unmount it, then remove it")
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        raise BenchError(f"{path} could not be removed; remove it by hand")
