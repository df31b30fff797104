"""Real mounts for tests, each served by a process of its own that is never waited for in vain."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.mountinfo import mounts

PATIENCE = 60
"""Seconds after which a step of the daemon counts as hung; no test waits that long for success."""

needs_fuse = pytest.mark.skipif(
    not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse cannot be opened"
)


class Daemon:
    """A process that serves what is in `folder` on `mountpoint`, by a program in tests/support."""

    def __init__(self, folder: Path, mountpoint: Path, program: str = "serve_shelf") -> None:
        self.mountpoint = mountpoint
        self._log = tempfile.NamedTemporaryFile("w", dir=folder.parent, suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                f"modelfloat.tests.support.{program}",
                str(folder),
                str(mountpoint),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def wait_ready(self) -> None:
        """Until it said that the mount answers."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else b"nothing"
        assert line == b"ready\n", f"it said {line!r}; its log:\n{self.log()}"

    def counts(self) -> "Counter[str]":
        """How many requests of each kind came since this was asked last, and `inodes` known."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, f"it does not tell its counts; its log:\n{self.log()}"
        return Counter(json.loads(self.process.stdout.readline()))

    def signal(self, number: int) -> int:
        """Send a signal; the exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it ends."""
        return self.process.wait(PATIENCE)

    def log(self) -> str:
        """What it logged so far."""
        return Path(self._log.name).read_text()

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        self.process.kill()
        self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def mounted(folder: Path, mountpoint: Path, program: str = "serve_shelf") -> Iterator[Daemon]:
    """A mount that answers."""
    daemon = Daemon(folder, mountpoint, program)
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        daemon.close()
        sweep(mountpoint)


def sweep(below: Path) -> None:
    """Detach every mount of ours at or below a folder, dead or alive."""
    top = str(below)
    for mount in reversed(mounts()):
        if mount.path == top or mount.path.startswith(f"{top}/"):
            command = ["umount", "-l"] if os.geteuid() == 0 else ["fusermount3", "-u", "-z"]
            subprocess.run([*command, mount.path], check=False, timeout=PATIENCE)
