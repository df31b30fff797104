"""Borg with a local repository, its defaults but for encryption, which it has none of here."""

import os
import shutil
import subprocess
from pathlib import Path

from modelfloat.bench.data import Source
from modelfloat.bench.harness import Run, check_output, run_command
from modelfloat.bench.peers.install import from_debian
from modelfloat.bench.stored import folder_bytes


class Repository:
    """A fresh repository in the new folder `path`, with a cache of its own; `remove` drops both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archives = 0
        self._command = from_debian("borg", "borgbackup")
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("BORG_")},
            "BORG_REPO": str(path / "repository"),
            "BORG_BASE_DIR": str(path / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        path.mkdir()
        run_command([self._command, "init", "--encryption", "none"], self._env)

    @property
    def size(self) -> int:
        """Bytes of the repository, its cache left out."""
        return folder_bytes(self.path / "repository")

    def add(self, source: Source) -> Run:
        """`borg create` of one file, as the archive `file`."""
        return run_command([self._command, "create", "::file", str(source.path)], self._env)

    def add_all(self, *paths: Path) -> Run:
        """`borg create` of files and folders, as a new archive."""
        self._archives += 1
        argv = [self._command, "create", f"::{self._archives}", *map(str, paths)]
        return run_command(argv, self._env)

    def check(self, source: Source) -> None:
        """`BenchError` unless `borg extract` gives the source's bytes back."""
        argv = [self._command, "extract", "--stdout", "::file"]
        wrong = "borg extract did not return what borg create was given"
        check_output(argv, self._env, source.digest, wrong)

    def remove(self) -> None:
        """Delete the repository and its cache."""
        shutil.rmtree(self.path)


def version() -> str:
    """Name and version, as a table shows them."""
    command = from_debian("borg", "borgbackup")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.strip()
