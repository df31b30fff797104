"""Mounts that require signatures: what nobody vouches for is EACCES, and the log says why."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.cli.main import run
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.mounted import needs_fuse
from modelfloat.tests.support.waiting import until

pytestmark = [pytest.mark.mount, needs_fuse]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "models"
    yield path
    if mount_at(str(path)) is not None:
        modelfloat("umount", path)


def test_only_what_is_signed_is_served(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key, file = tmp_path / "store", tmp_path / "key", tmp_path / "file"
    monkeypatch.setenv("MODELFLOAT_STORE", str(store))
    file.write_text("signed")
    for command in (
        ("init", "--erasure", "1+0"),
        ("key", "sign", "new", key),
        ("key", "sign", "trust", key, "release"),
        ("add", "--sign-key", key, file, "acme/model"),
        ("add", file, "acme/other"),
    ):
        assert run([str(part) for part in command]) == 0, command
    done = modelfloat("mount", "--require-signature", folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "acme/model/file").read_text() == "signed"
    assert [path.name for path in (folder / "acme").iterdir()] == ["model"]
    (log,) = (store / "log").iterdir()
    for place in ("acme/other/file", "acme/other@main/file", ".hf/models--acme--other/refs"):
        with pytest.raises(OSError, match=str(folder)) as refused:
            (folder / place).stat()
        assert refused.value.errno == errno.EACCES, place
    assert "acme/other@main, commit " in log.read_text()
    # A trusted state gives way to nothing that is not.
    with (folder / "acme/model/file").open() as held:
        file.write_text("unsigned")
        assert run(["add", str(file), "acme/model"]) == 0
        until(lambda: _is_refused(folder / "acme/model"))
        assert held.read() == "signed"
    assert run(["key", "sign", "refs", "--sign-key", str(key), "acme/model"]) == 0
    until(lambda: not _is_refused(folder / "acme/model"))
    assert (folder / "acme/model/file").read_text() == "unsigned"


def _is_refused(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    return False
