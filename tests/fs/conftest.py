"""A shelf to read from, and the operations over it, unmounted."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfloat.fuse.operations import Operations
from modelfloat.tests.support.shelf import Shelf
from modelfloat.tests.support.walking import LOOK, Kernel


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path)
    yield shelf
    shelf.close()


@pytest.fixture
def operations(shelf: Shelf) -> Operations:
    return Operations(shelf, LOOK)


@pytest.fixture
def kernel(operations: Operations) -> Kernel:
    return Kernel(operations)
