"""A store over all kinds of providers, two backends of each: any provider may go."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelfloat.tests.support.mounted import PATIENCE, needs_fuse, sweep
from modelfloat.tests.support.providers import KINDS, Provider, provider, providers
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import weights
from modelfloat.tests.support.waiting import until

SIZE = 9_000_000
SCHEME = "4+2"


@dataclass
class Place:
    """A store, and the providers that hold it."""

    root: Path
    held: list[Provider]
    environment: dict[str, str]

    def run(self, *arguments: object, status: int = 0) -> str:
        """Run a command on the store; what it printed."""
        done = self.start(*arguments)
        out, err = done.communicate(timeout=PATIENCE)
        assert done.returncode == status, (arguments, out, err)
        return out

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        """Begin one."""
        argv = [sys.executable, "-m", "modelfloat.cli.main", "--store", str(self.root / "store")]
        return subprocess.Popen(
            [*argv, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def states(self) -> dict[str, str]:
        """The state of each backend."""
        return {
            each["name"]: each["state"] for each in json.loads(self.run("backend", "ls", "--json"))
        }


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A store over two backends of each kind, that holds acme/model."""
    with providers(tmp_path / "providers") as held:
        environment = dict(os.environ)
        environment["XDG_STATE_HOME"] = str(tmp_path / "state")
        for each in held:
            environment |= each.environment
        found = Place(tmp_path, held, environment)
        specs = [f"--backend={spec}" for each in held for spec in each.specs]
        found.run("init", "--erasure", SCHEME, *specs)
        (tmp_path / "source").mkdir()
        weights(tmp_path / "source" / "model.safetensors", SIZE)
        (tmp_path / "source" / "small").write_bytes(noise("small", 1000))
        found.run("add", tmp_path / "source", "acme/model")
        yield found


def read_through_mount(place: Place) -> None:
    """Every file, through a mount of its own."""
    point = place.root / "mount"
    point.mkdir(exist_ok=True)
    daemon = place.start("mount", "--foreground", "--cache-size=0", point)
    try:
        until(lambda: (point / "acme").is_dir() or daemon.poll() is not None)
        for source in (place.root / "source").iterdir():
            assert (point / "acme" / "model" / source.name).read_bytes() == source.read_bytes()
    finally:
        daemon.terminate()
        daemon.communicate(timeout=PATIENCE)
        sweep(point)


@needs_fuse
@pytest.mark.mount
@pytest.mark.parametrize(
    "lost", [KINDS[0], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]
)
def test_a_provider_may_go(place: Place, lost: str, tmp_path: Path) -> None:
    """All is read without it, and repaired onto another one."""
    gone = next(each for each in place.held if each.kind == lost)
    gone.close()
    read_through_mount(place)
    assert {name for name, state in place.states().items() if state == "down"} == set(gone.urls)
    with provider("ipfs", tmp_path / "another", "new") as another:
        for name, url in another.urls.items():
            place.run("backend", "add", name, url, "--domain", "another")
        place.run("verify", "--repair", status=3)
        if lost != KINDS[0]:  # in the slow matrix
            for name in gone.urls:
                place.run("backend", "rm", name)
            place.run("verify")
        place.run("get", "acme/model", tmp_path / "out")
        for source in (place.root / "source").iterdir():
            assert (tmp_path / "out" / source.name).read_bytes() == source.read_bytes()
