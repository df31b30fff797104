"""The folder to mount on, without mounting: what is made, and what is refused with which words."""

import os
from pathlib import Path

import pytest

from modelfloat.errors import (
    ExistsError,
    ModelFloatError,
    NotFoundError,
    UnsupportedError,
)
from modelfloat.fuse import machine
from modelfloat.fuse.machine import check_machine
from modelfloat.fuse.mountpoint import prepare
from modelfloat.fuse.unmounting import detach, unmount


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert prepare(str(path)) == os.path.realpath(path)
    assert path.is_dir()
    assert prepare(f"{path}/") == os.path.realpath(path)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ExistsError, match="not empty"):
        prepare(str(tmp_path))
    with pytest.raises(ModelFloatError, match="cannot mount on"):
        prepare(str(tmp_path / "file"))
    with pytest.raises(ModelFloatError, match="cannot mount on"):
        prepare(str(tmp_path / "file" / "below"))


def test_what_is_not_mounted_cannot_be_unmounted(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/proc")):
        with pytest.raises(NotFoundError, match="no store is mounted"):
            unmount(str(path))


def test_what_umount_says_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(ModelFloatError, match=r"unmounting .* failed: "):
        detach(str(tmp_path), lazy=False)


def test_a_machine_without_fuse_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "DEVICE", str(tmp_path / "none"))
    with pytest.raises(UnsupportedError, match="modprobe fuse"):
        check_machine(allow_other=False)


@pytest.mark.parametrize(
    ("lines", "allowed"), [("#user_allow_other\n", False), ("x\nuser_allow_other\n", True)]
)
def test_allow_other_as_an_ordinary_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, allowed: bool
) -> None:
    (tmp_path / "fuse.conf").write_text(lines)
    (tmp_path / "device").touch()
    monkeypatch.setattr(machine, "DEVICE", str(tmp_path / "device"))
    monkeypatch.setattr(machine, "FUSE_CONF", str(tmp_path / "fuse.conf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/usr/bin/{name}")
    if allowed:
        check_machine(allow_other=True)
    else:
        with pytest.raises(UnsupportedError, match="user_allow_other"):
            check_machine(allow_other=True)
    check_machine(allow_other=False)
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    with pytest.raises(UnsupportedError, match="fusermount3"):
        check_machine(allow_other=False)
