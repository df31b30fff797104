"""The store that commands and calls fail on, and what is asked of it; see `provoke`."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import modelfloat
from modelfloat.api import Store as Api
from modelfloat.cli.main import run
from modelfloat.errors import ModelFloatError
from modelfloat.tests.support.command import modelfloat as modelfloat_program

SECRET = "hunter2secret"


@dataclass(frozen=True)
class Outcome:
    """How a command or a call ended: the exit status, and what it said, without warnings."""

    status: int
    lines: list[str]


class Scene:
    """A folder with a store of three directories, 2+1, that holds acme/tiny."""

    def __init__(
        self,
        root: Path,
        template: Path,
        capsys: "pytest.CaptureFixture[str]",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.root = root
        self.store = root / "store"
        shutil.copytree(template, self.store, symlinks=True)
        self.capsys = capsys
        self.patch = monkeypatch
        self.file = root / "file"
        self.file.write_bytes(b"new content")

    def __call__(self, *arguments: object, store: Path | None = None) -> Outcome:
        """Run a command on the store."""
        self.capsys.readouterr()
        status = run(["--store", str(store or self.store), *map(str, arguments)])
        said = self.capsys.readouterr().err.splitlines()
        return Outcome(status, [s for s in said if not s.startswith("modelfloat: warning: ")])

    def program(self, *arguments: object) -> Outcome:
        """The same in a process of its own: `cat` writes to the descriptor, not to the stream."""
        done = modelfloat_program("--store", self.store, *arguments)
        said = done.stderr.splitlines()
        lines = [line for line in said if not line.startswith("modelfloat: warning: ")]
        return Outcome(done.returncode, lines)

    def api(self, call: Callable[[Api], object]) -> Outcome:
        """Make a call of the Python API on the open store."""
        with modelfloat.open(self.store) as store:
            return self.raised(lambda: call(store))

    def raised(self, call: Callable[[], object]) -> Outcome:
        """Make a call that fails with one of our errors."""
        try:
            call()
        except ModelFloatError as error:
            return Outcome(error.exit_status, [f"modelfloat: {error}"])
        raise AssertionError("it did not fail")

    def config(self, old: str, new: str) -> None:
        """Change config.toml as an editor would."""
        path = self.store / "config.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def marker(self, **fields: object) -> None:
        """Change the marker of every backend."""
        for path in (self.store / "backends").glob("*/modelfloat.json"):
            path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    def folder(self, *names: str) -> Path:
        """A new folder with files of these names."""
        path = self.root / f"folder{len(os.listdir(self.root))}"
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(name.encode())
        path.mkdir(exist_ok=True)
        return path

    def without_config(self) -> "Scene":
        """The same with config.toml gone."""
        (self.store / "config.toml").unlink()
        return self

    def without_backends(self) -> "Scene":
        """The same with every backend gone."""
        shutil.rmtree(self.store / "backends")
        return self


Provocation = Callable[[Scene], Outcome]


def plain(*arguments: object) -> Provocation:
    """A command that fails on any filled store; {file}, {root} and {store} are filled in."""

    def provoke(scene: Scene) -> Outcome:
        places = {"file": scene.file, "root": scene.root, "store": scene.store}
        return scene(*(str(argument).format(**places) for argument in arguments))

    return provoke


def config_that_says(old: str, new: str) -> Provocation:
    """`ls` after config.toml was edited."""

    def provoke(scene: Scene) -> Outcome:
        scene.config(old, new)
        return scene("ls")

    return provoke


HEAD = f'[store]\nid = "{"0" * 32}"\nerasure = "2+1"\n'


def config_is(scene: Scene, text: str) -> Outcome:
    (scene.store / "config.toml").write_text(text)
    return scene("ls")
