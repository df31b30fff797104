"""What was written, and its name, outlast a pulled plug."""

import os
from pathlib import Path

import pytest

from modelfloat.durable import append_lines, on_store_disk, replace_file
from modelfloat.errors import ModelFloatError


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was made durable, or took its name, in its order."""
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(fd: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        events.append("folder" if path.is_dir() else "file")
        fsync(fd)

    def noted_replace(one: str, other: str) -> None:
        events.append("name")
        replace(one, other)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    return events


def test_a_file_that_is_replaced(tmp_path: Path, synced: list[str]) -> None:
    for data in (b"old", b"new"):
        replace_file(str(tmp_path / "a"), data, 0o600)
        assert (tmp_path / "a").read_bytes() == data
    assert synced == ["file", "name", "folder"] * 2
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_is_added_to(tmp_path: Path, synced: list[str]) -> None:
    append_lines(str(tmp_path / "a"), b"one\n")
    with open(tmp_path / "a", "ab") as file:
        file.write(b"torn")
    append_lines(str(tmp_path / "a"), b"two\n")
    assert (tmp_path / "a").read_bytes().split() == [b"one", b"torn", b"two"]
    assert synced == ["file", "folder", "file"]


def test_what_the_system_says_names_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "missing" / "a")
    with pytest.raises(ModelFloatError, match="missing/a cannot be written"), on_store_disk(path):
        append_lines(path, b"one\n")
