"""restic with a local repository, its defaults, fsync included; the password by environment."""

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
        self._command = from_debian("restic", "restic")
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")},
            "RESTIC_REPOSITORY": str(path / "repository"),
            "RESTIC_CACHE_DIR": str(path / "cache"),
            "RESTIC_PASSWORD": "bench",
        }
        path.mkdir()
        run_command([self._command, "init"], self._env)

    @property
    def size(self) -> int:
        """Bytes of the repository, its cache left out."""
        return folder_bytes(self.path / "repository")

    def add_all(self, *paths: Path) -> Run:
        """`restic backup` of files and folders."""
        return self.run("backup", "--host", "bench", *map(str, paths))

    def add(self, source: Source) -> Run:
        """`restic backup` of one file."""
        argv = [self._command, "backup", "--quiet", "--host", "bench", str(source.path)]
        return run_command(argv, self._env)

    def run(self, command: str, *arguments: str) -> Run:
        """Any command, timed and its memory sampled."""
        return run_command([self._command, command, "--quiet", *arguments], self._env)

    def copy_from(self, other: "Repository") -> Run:
        """`restic copy` of all snapshots of another repository."""
        environment = {**self._env, "RESTIC_FROM_PASSWORD": "bench"}
        argv = [self._command, "copy", "--quiet", "--from-repo", str(other.path / "repository")]
        return run_command(argv, environment)

    def check(self, source: Source) -> None:
        """`BenchError` unless `restic dump` gives the source's bytes back."""
        argv = [self._command, "dump", "latest", str(source.path)]
        wrong = "restic dump did not return what restic backup was given"
        check_output(argv, self._env, source.digest, wrong)

    def remove(self) -> None:
        """Delete the repository and its cache."""
        shutil.rmtree(self.path)


def version() -> str:
    """Name and version, as a table shows them."""
    command = from_debian("restic", "restic")
    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split()[:2])
