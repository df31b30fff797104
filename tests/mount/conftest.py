"""A shelf, a place to mount it, and the sweeping of whatever a failed test left mounted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.tests.support.mounted import sweep
from modelfloat.tests.support.shelf import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    yield shelf
    shelf.close()


@pytest.fixture
def shelf_folder(shelf: Shelf, tmp_path: Path) -> Path:
    return tmp_path / "shelf"


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    """Where to mount; not there yet."""
    path = tmp_path / "mnt point"
    yield path
    sweep(tmp_path)
