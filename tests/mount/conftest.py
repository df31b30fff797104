"""A shelf, a place to mount it, and the sweeping of whatever a failed test left mounted.

Every test here runs over each binding: by default over the one that mounts have by default, and the
modules of `BOTH` over all of them; the slow matrix leaves none out.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.bindings import DEFAULT, NAMES
from modelfloat.tests.support.bindings import VARIABLE
from modelfloat.tests.support.mounted import sweep
from modelfloat.tests.support.shelf import Shelf

BOTH = ("test_mounted_files", "test_mount_life", "test_kernel_traffic", "test_ordinary_user")
"""Modules that say most about a binding for the time they take."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of every test for each binding."""
    slow = [] if metafunc.module.__name__.rpartition(".")[2] in BOTH else [pytest.mark.slow]
    names = sorted(NAMES, key=lambda name: name != DEFAULT)
    runs = [pytest.param(name, marks=[] if name == DEFAULT else slow) for name in names]
    metafunc.parametrize("binding", runs, indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def binding(request: pytest.FixtureRequest) -> Iterator[str]:
    """The binding that mounts are made by, here and by every command that a test runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, request.param)
        yield request.param


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
