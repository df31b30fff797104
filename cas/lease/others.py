"""Whether other sites are known, for who asks no backend."""

import contextlib
import os
from typing import Final

OTHERS: Final = "others"
"""The file beside the lock files that is there since other sites were known."""


def note_others(folder: str) -> None:
    """Remember, for good, that there are other sites; blocks. `folder` has the lock files."""
    with contextlib.suppress(OSError):
        path = os.path.join(folder, OTHERS)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def knows_others(folder: str) -> bool:
    """Whether there ever were others; blocks."""
    return os.path.exists(os.path.join(folder, OTHERS))
