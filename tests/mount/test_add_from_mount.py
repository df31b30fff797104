"""What a mount of a store shows is not added to that store again; another store may have it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import modelfloat as package
from modelfloat.errors import ExistsError
from modelfloat.fuse.mountinfo import mount_at
from modelfloat.fuse.owndevices import mounted_devices
from modelfloat.tests.support.command import modelfloat

pytestmark = pytest.mark.mount


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A mount of the store `store`, which has acme/tiny/file, in the folder `src` beside a file."""
    (tmp_path / "file").write_bytes(b"content")
    store, path = tmp_path / "store", tmp_path / "src" / "models"
    path.mkdir(parents=True)
    (tmp_path / "src" / "beside").write_bytes(b"beside")
    for command in (("init",), ("add", tmp_path / "file", "acme/tiny"), ("mount", path)):
        ran = modelfloat("--store", store, *command)
        assert ran.returncode == 0, ran.stderr
    yield path
    if mount_at(str(path)) is not None:
        modelfloat("--store", store, "umount", path)


def test_a_mount_is_no_source_for_its_own_store(mounted: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    file = mounted / "acme" / "tiny" / "file"
    for source, option in ((mounted, "--move"), (mounted / "acme", "--dry-run"), (file, "--quiet")):
        ran = modelfloat("--store", store, "add", option, source, "acme/again")
        assert ran.returncode == 1
        assert ran.stderr == (
            f"modelfloat: {source} is what a mount of this store shows: it is stored already\n"
        )
    with package.open(store) as opened, pytest.raises(ExistsError, match="stored already"):
        opened.add(mounted, "acme/again")


def test_a_mount_below_a_source_is_skipped(mounted: Path, tmp_path: Path) -> None:
    ran = modelfloat("--store", tmp_path / "store", "add", tmp_path / "src", "acme/around")
    assert ran.returncode == 0, ran.stderr
    assert "skipped" in ran.stderr
    listed = modelfloat("--store", tmp_path / "store", "ls", "acme/around")
    assert listed.stdout.split() == ["beside"]


def test_another_store_may_have_it(mounted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert modelfloat("--store", other, "init").returncode == 0
    assert mounted_devices(str(other)) == frozenset()
    ran = modelfloat("--store", other, "add", mounted / "acme" / "tiny", "acme/copy")
    assert ran.returncode == 0, ran.stderr
    assert modelfloat("--store", other, "cat", "acme/copy/file").stdout == "content"
