"""What a store takes on its backends: everything but parity."""

import os
from pathlib import Path
from typing import Final

from modelfloat.bench.ours import REPOSITORY, Store

BARE: Final = "1+0"
"""One shard a pack and no parity: what lies on the backend is data and every kind of overhead."""


def stored_alone(folder: Path, *files: Path, effort: str = "balanced") -> int:
    """Bytes on the backend of a fresh store in `folder` that holds these files and nothing else.

    Packs with their tables and checksums, trees, manifests, journal and marker are counted.
    """
    store = Store(folder, BARE)
    try:
        store.run("add", "--effort", effort, *map(str, files), REPOSITORY)
        return backend_bytes(store)
    finally:
        store.remove()


def backend_bytes(store: Store) -> int:
    """Bytes of all files on the backends of a store that `init` made its directories for."""
    return folder_bytes(store.path / "backends")


def folder_bytes(folder: Path) -> int:
    """The sizes of all files below a folder."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(folder)
        for name in names
    )
