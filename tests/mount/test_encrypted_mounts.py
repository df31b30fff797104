"""Mounts of encrypted stores: what opens them reaches the daemon, and nobody else."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.control import mount_states
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.encrypted import WORDS
from modelfloat.tests.support.mounted import needs_fuse
from modelfloat.tests.support.namespaces import Namespace, as_root
from modelfloat.tests.support.ordinary import HOME, Ordinary

pytestmark = [pytest.mark.mount, needs_fuse]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An encrypted store with acme/tiny/file."""
    monkeypatch.setenv("MODELFLOAT_STORE", str(tmp_path / "store"))
    (tmp_path / "words").write_text(WORDS)
    (tmp_path / "file").write_bytes(b"content")
    opened = ["--passphrase-file", tmp_path / "words"]
    made = modelfloat(*opened, "init", "--encrypt", "--recovery-file", tmp_path / "sheet")
    assert made.returncode == 0, made.stderr
    assert modelfloat(*opened, "add", tmp_path / "file", "acme/tiny").returncode == 0
    return tmp_path / "store"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "models"
    yield path
    if mount_at(str(path)) is not None:
        modelfloat("umount", path)


def test_a_daemon_reads_and_tells_nobody(
    store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFLOAT_PASSPHRASE", WORDS)
    mounted = modelfloat("mount", folder)
    assert mounted.returncode == 0, mounted.stderr
    assert (folder / "acme" / "tiny" / "file").read_bytes() == b"content"
    (mount,) = mount_states(str(store))
    process = Path("/proc", str(mount.pid))
    for name in ("cmdline", "environ"):
        assert WORDS.encode() not in (process / name).read_bytes()
    limits = (process / "limits").read_text().splitlines()
    (core,) = (line for line in limits if line.startswith("Max core file size"))
    assert core.split()[4] == "0"
    assert all(WORDS not in log.read_text() for log in (store / "log").iterdir())
    assert modelfloat("umount", folder).returncode == 0


@pytest.mark.usefixtures("store")
def test_a_wrong_one_mounts_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_PASSPHRASE", "not the right one")
    failed = modelfloat("mount", folder)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "modelfloat: $MODELFLOAT_PASSPHRASE does not open this store\n"
    assert mount_at(str(folder)) is None


@as_root
@pytest.mark.skipif(not HOME.is_dir(), reason=f"there is no {HOME} to mount on")
@pytest.mark.skipif(shutil.which("fusermount3") is None, reason="there is no fusermount3")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv")
def test_an_ordinary_user_whose_memory_nobody_sees_may_mount() -> None:
    """Such a process owns little of its own /proc."""
    with Namespace() as namespace:
        user = Ordinary(namespace)
        user.sh(f"echo content > file; echo {WORDS} > words")
        opened = ("--passphrase-file", "words")
        for command in (["init", "--encrypt", "--recovery-file", "sheet"], ["add", "file", "a/b"]):
            done = user.modelfloat(*opened, *command)
            assert done.returncode == 0, done.stderr
        mounted = user.modelfloat(*opened, "mount", HOME / "models")
        assert mounted.returncode == 0, mounted.stderr
        assert user.sh(f"cat {HOME}/models/a/b/file").stdout == "content\n"
        done = user.modelfloat("umount", HOME / "models")
        assert (done.returncode, done.stderr) == (0, "")
        user.sh("rm store/keyring")
        assert user.as_root("--passphrase-file", HOME / "words", "key", "ls").returncode == 0
        assert user.sh("find store ! -user nobody").stdout == ""
