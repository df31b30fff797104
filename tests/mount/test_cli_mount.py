"""`modelfloat mount` and `umount` as a user runs them: in the background, ready on return."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat

pytestmark = pytest.mark.mount


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with acme/tiny/file."""
    monkeypatch.setenv("MODELFLOAT_STORE", str(tmp_path / "store"))
    (tmp_path / "file").write_bytes(b"content")
    assert modelfloat("init").returncode == 0
    assert modelfloat("add", tmp_path / "file", "acme/tiny").returncode == 0
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to mount on, unmounted in the end whatever happens."""
    path = tmp_path / "models"
    yield path
    if mount_at(str(path)) is not None:
        modelfloat("umount", path)


@pytest.mark.usefixtures("store")
def test_ready_when_the_command_returns_and_gone_after_umount(folder: Path) -> None:
    mounted = modelfloat("mount", folder)
    assert mounted.returncode == 0, mounted.stderr
    assert mounted.stdout.startswith(f"mounted on {folder}; log: ")
    assert (folder / "acme" / "tiny" / "file").read_bytes() == b"content"
    ended = modelfloat("umount", folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert mount_at(str(folder)) is None
    assert list(folder.iterdir()) == []


def test_json(store: Path, folder: Path) -> None:
    mounted = json.loads(modelfloat("mount", folder, "--json").stdout)
    assert mounted["mounted"] == str(folder)
    assert Path(mounted["log"]).parent == store / "log"
    assert json.loads(modelfloat("--json", "umount", folder).stdout) == {"unmounted": str(folder)}


@pytest.mark.usefixtures("store")
def test_a_failure_of_the_daemon_is_told_by_the_command(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").touch()
    failed = modelfloat("mount", folder)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"modelfloat: cannot mount on {folder}: it is not empty")
    assert failed.stderr.count("\n") == 1
    assert failed.stdout == ""


@pytest.mark.usefixtures("store")
def test_mounting_twice_is_refused(folder: Path) -> None:
    assert modelfloat("mount", folder).returncode == 0
    again = modelfloat("mount", folder)
    assert again.returncode == 1
    assert "already" in again.stderr
    assert (folder / "acme" / "tiny" / "file").read_bytes() == b"content"


@pytest.mark.usefixtures("store")
def test_unmounting_nothing_fails_with_one_line(folder: Path) -> None:
    failed = modelfloat("umount", folder)
    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_unmounts(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "modelfloat.cli.main", "mount", str(folder), "--foreground"]
    command += ["--metrics", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        how, metrics = process.stderr.readline(), process.stderr.readline()
        assert how.startswith(f"modelfloat: info: {folder} is mounted by the binding ")
        assert f"{folder} tells its figures at http://127.0.0.1:" in metrics
        assert process.stderr.readline() == f"mounted on {folder}; Ctrl-C unmounts\n"
        assert os.listdir(folder) == ["acme"]
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert process.stderr.read().splitlines() == [
            f"modelfloat: info: {number.name}: unmounting {folder}",
            f"modelfloat: info: {folder} is unmounted",
        ]
    assert mount_at(str(folder)) is None
