"""ModelFloat as a user has it: the installed command, a process each time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError, Run, check_output, last_line, run_command

SCHEME: Final = "4+2"
REPOSITORY: Final = "acme/rand"
LOST: Final = ("d0", "d1")


class Store:
    """A fresh store at `path`, by default with six directories as backends; `remove` drops it.

    With `scheme` None it is made as `init` makes it: one directory. `backends` are URLs by name,
    and `knowing` the variables that they need.
    """

    def __init__(
        self,
        path: Path,
        scheme: str | None = SCHEME,
        backends: Mapping[str, str] | None = None,
        knowing: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.environment = {**environment(), **(knowing or {})}
        self._command = command()
        places = [f"--backend={name}={url}" for name, url in (backends or {}).items()]
        self._call("init", *([] if scheme is None else ["--erasure", scheme]), *places)

    def add(self, source: Source, effort: str | None = None) -> Run:
        """`modelfloat add` of one file; its fsyncs are on, as they always are."""
        options = [] if effort is None else ["--effort", effort]
        return self.run("add", *options, str(source.path), REPOSITORY)

    def run(self, *arguments: str, ends: Container[int] = (0,)) -> Run:
        """Any command, timed and its memory sampled; BenchError where it ends otherwise."""
        return run_command(self._argv(*arguments), self.environment, ends)

    def verify(self) -> Run:
        """`modelfloat verify` of everything; `BenchError` where it finds anything wrong."""
        return run_command(self._argv("verify", "--quiet"), self.environment)

    def requests(self) -> int:
        """READ requests that the store's one mount was asked so far."""
        argv = self._argv("stats", "--mount", "--json")
        done = subprocess.run(argv, env=self.environment, capture_output=True, check=True)
        found: int = json.loads(done.stdout)[0]["counts"]["requests"]
        return found

    def check(self, source: Source) -> None:
        """`BenchError` unless `modelfloat cat` gives the source's bytes back."""
        argv = self._argv("cat", f"{REPOSITORY}/{source.path.name}")
        wrong = "modelfloat cat did not return what modelfloat add was given"
        check_output(argv, self.environment, source.digest, wrong)

    @contextmanager
    def mounted(self, point: Path, file: Path, *options: str) -> Iterator[Path]:
        """A mount by a fresh daemon; yields the path of a file of the repository in it."""
        point.mkdir(exist_ok=True)
        self._call("mount", *options, str(point))
        try:
            yield point / REPOSITORY / file.name
        finally:
            self._call("umount", str(point))

    @contextmanager
    def without(self, names: tuple[str, ...] = LOST) -> Iterator[None]:
        """The store while the directories of these backends are moved away."""
        backends, aside = self.path / "backends", self.path.with_name(f"{self.path.name}-lost")
        aside.mkdir()
        try:
            for name in names:
                os.rename(backends / name, aside / name)
            yield
        finally:
            for name in os.listdir(aside):
                os.rename(aside / name, backends / name)
            aside.rmdir()

    def remove(self) -> None:
        """Delete the store and its shards."""
        shutil.rmtree(self.path)

    def _argv(self, *arguments: str) -> list[str]:
        return [self._command, "--store", str(self.path), *arguments]

    def _call(self, *arguments: str) -> None:
        """Run a command to its end. Its output goes to a file: a daemon would keep a pipe open."""
        with open(self.path.with_name(f"{self.path.name}.log"), "w+b") as log:
            argv = self._argv(*arguments)
            status = subprocess.call(argv, env=self.environment, stdout=log, stderr=log)
            if status:
                raise BenchError(f"modelfloat {arguments[0]} failed: {last_line(log)}")


def environment() -> dict[str, str]:
    """A command's environment without the user's settings, so that defaults are measured.

    Modules are compiled once, as they are where it is installed: a variable that forbids Python to
    keep that would have every process compile all of them anew.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELFLOAT_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def command() -> str:
    """Where the installed program is; BenchError where there is none."""
    command = Path(sys.executable).with_name("modelfloat")
    if not command.exists():
        raise BenchError("there is no modelfloat command beside this Python; run ./run setup first")
    return str(command)
