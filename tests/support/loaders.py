"""Programs of other people that load models, each run in an interpreter that has it.

`MODELFLOAT_LOADERS` names the interpreters, with colons between, so that one run can try several
releases; by default it is the one of the tests, which has few of these packages.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelfloat.tests.support.checkout import ROOT
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import sweep

PATIENCE = 300
"""Seconds after which a program counts as hung."""
PYTHONS = os.environ.get("MODELFLOAT_LOADERS", sys.executable).split(":")

_FIND = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, sys.argv[1:])))"


@functools.cache
def has(python: str, *modules: str) -> bool:
    """Whether an interpreter can import all of `modules`."""
    return subprocess.run([python, "-c", _FIND, *modules], check=False).returncode == 0


@dataclass(frozen=True)
class Loader:
    """One program of tests/loaders, in one interpreter, with a home of its own in `home`."""

    program: str
    python: str
    home: Path

    def make(self, folder: Path) -> None:
        """Make its model in `folder`."""
        folder.mkdir(parents=True)
        self._run("make", folder)

    def check(self, folder: Path, mounted: Path | str, **environment: str) -> list[str]:
        """Load the model by every way and compare it with that in `folder`; the ways."""
        told = json.loads(self._run("check", folder, mounted, **environment).splitlines()[-1])
        print(told)  # which releases were tried: `pytest -rP` shows it
        return list(told["ways"])

    def _run(self, *arguments: object, **environment: str) -> str:
        path = ROOT / "tests" / "loaders" / f"{self.program}.py"
        done = subprocess.run(
            [self.python, str(path), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=os.environ | {"HF_HOME": str(self.home)} | environment,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


def loader(program: str, python: str, home: Path, *modules: str) -> Loader:
    """A program in an interpreter that can import `modules`; a skip where it cannot."""
    if not has(python, *modules):
        pytest.skip(f"{python} has not all of {', '.join(modules)}")
    return Loader(program, python, home)


class Served:
    """A store and where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self.point = folder / "models"
        self.store = folder / "store"

    def __call__(self, *arguments: object) -> str:
        """Run a command on the store; its output."""
        done = modelfloat("--store", self.store, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def hub(self) -> dict[str, str]:
        """The environment of a program that is to load by name."""
        return {"HF_HUB_CACHE": str(self.point / ".hf"), "HF_HUB_OFFLINE": "1"}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """A new store in `folder`, mounted there."""
    served = Served(folder)
    served("init")
    try:
        served("mount", served.point)
        yield served
        served("umount", served.point)
    finally:
        sweep(folder)
