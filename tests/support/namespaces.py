"""Mount namespaces, where tests may mount over anything: what is mounted there goes with them."""

import os
import subprocess
import sys
from typing import Self

import pytest

from modelfloat.tests.support.mounted import PATIENCE


def _may_unshare() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(
            ["unshare", "--mount", "true"], capture_output=True, check=False, timeout=PATIENCE
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


as_root = pytest.mark.skipif(not _may_unshare(), reason="needs root and unshare(1)")
"""The mark of tests that make namespaces."""


class Namespace:
    """A mount namespace, made inside `outer` if given, and kept until it is left.

    `propagation` is what becomes of its mounts at the beginning: `private`, `shared`, `slave`.
    """

    def __init__(self, propagation: str = "private", outer: "Namespace | None" = None) -> None:
        enter = [] if outer is None else outer.entering
        command = [*enter, "unshare", "--mount", f"--propagation={propagation}"]
        command += ["sh", "-c", "echo ready; exec sleep infinity"]
        self._keeper = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.kill()
        self._keeper.communicate(timeout=PATIENCE)

    @property
    def entering(self) -> list[str]:
        """How a command begins that is to run here."""
        return ["nsenter", "--mount", f"--target={self._keeper.pid}"]

    def run(self, *command: object) -> "subprocess.CompletedProcess[str]":
        """Run a command here; its output and exit status are the caller's to judge."""
        return subprocess.run(
            [*self.entering, *map(str, command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        )

    def sh(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell script here."""
        return self.run("sh", "-c", script)

    def modelfloat(self, *arguments: object) -> None:
        """Run our program here; it succeeds."""
        done = self.run(sys.executable, "-m", "modelfloat.cli.main", *arguments)
        assert done.returncode == 0, done.stderr
