"""A shelf, a place to mount it, and the sweeping of whatever a failed test left mounted.

Every test here runs over each binding: by default over the one that mounts have by default, and the
ones of `BOTH` over all of them; the slow matrix leaves none out.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.bindings import KERNEL, NAMES
from modelfloat.tests.support.bindings import VARIABLE
from modelfloat.tests.support.mounted import sweep
from modelfloat.tests.support.shelf import Shelf

BOTH = {
    *("test_mounted_files", "test_kernel_traffic", "test_hub_cache"),
    *("test_unmounting_ends_the_daemon", "test_a_signal_unmounts_what_is_in_use"),
    *("test_reads_end_when_the_mount_is_told_to_end", "test_mounted_for_oneself"),
}
"""Modules and tests that say most about a binding for the time they take."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of every test for each binding."""
    both = {metafunc.module.__name__.rpartition(".")[2], metafunc.function.__name__} & BOTH
    names = sorted(NAMES, key=lambda name: name != KERNEL)
    marks = [[] if both or name == KERNEL else [pytest.mark.slow] for name in names]
    runs = [pytest.param(name, marks=mark) for name, mark in zip(names, marks, strict=True)]
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
