"""Page faults from 32 threads over eight files while others list and stat: what hung other mounts.

Ten seconds, a minute in the slow matrix. How long one fault took at most is told, not judged: what
judges is that it all ends, with every byte right.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import PATIENCE, Daemon, mounted, needs_fuse
from modelfloat.tests.support.stores import weights

pytestmark = [pytest.mark.mount, needs_fuse]

FILES = 8
SIZE = 3_000_000
THREADS = 32


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 4+2, and the files that are in it."""
    place = tmp_path_factory.mktemp("tempest")
    (place / "files").mkdir()
    for number in range(FILES):
        weights(place / "files" / f"{number}.safetensors", SIZE, f"file {number}")
    store = place / "store"
    assert modelfloat("--store", store, "init", "--erasure", "4+2").returncode == 0
    assert modelfloat("--store", store, "add", place / "files", "acme/model").returncode == 0
    return place


@pytest.fixture
def daemon(template: Path, tmp_path: Path) -> Iterator[Daemon]:
    shutil.copytree(template / "store", tmp_path / "store")
    with mounted(tmp_path / "store", tmp_path / "mnt", "serve_store") as daemon:
        yield daemon


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    return 60 if request.config.getoption("--hypothesis-profile") == "slow" else 10


def tempest(daemon: Daemon, template: Path, seconds: float) -> "subprocess.Popen[str]":
    """A tempest that has begun."""
    folder = daemon.mountpoint / "acme" / "model"
    command = [sys.executable, "-m", "modelfloat.tests.support.tempest"]
    command += [str(folder), str(template / "files"), str(THREADS), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_every_byte_is_right(daemon: Daemon, template: Path, seconds: float) -> None:
    with tempest(daemon, template, seconds) as process:
        said, _ = process.communicate(timeout=seconds + 2 * PATIENCE)
    found = json.loads(said)
    print(f"tempest of {seconds:.0f} s: {found}")
    assert process.returncode == 0
    assert found["right"] > THREADS
    assert found["listed"] > 0
    assert found.get("wrong", 0) == 0
    assert daemon.log().count("ERROR") == 0


def test_it_ends_with_the_mount(daemon: Daemon, template: Path) -> None:
    """SIGTERM under load: no fault waits for a daemon that is gone."""
    with tempest(daemon, template, 10**6) as process:
        assert daemon.signal(signal.SIGTERM) == 0
        process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "Traceback" not in daemon.log()


def test_a_daemon_that_stands_still_for_a_while(daemon: Daemon, template: Path) -> None:
    """As when the machine sleeps: who waits goes on waiting, and then gets the right bytes."""
    with tempest(daemon, template, 2) as process:
        daemon.process.send_signal(signal.SIGSTOP)
        # Nothing but the passing of time ends a tempest, so it is over, or waits for the daemon.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        daemon.process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=2 * PATIENCE)
    found = json.loads(said)
    assert (process.returncode, found.get("wrong", 0)) == (0, 0)
    assert daemon.log().count("ERROR") == 0
