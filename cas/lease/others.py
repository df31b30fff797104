"""Whether other sites are known, for who asks no backend."""

import contextlib
import os
from typing import Final

OTHERS: Final = "others"
"""The file beside the lock files that is there since other sites were known."""


def note_others(folder: str) -> None:
    """Remember that there are other sites; blocks. `folder` has the lock files."""
    with contextlib.suppress(OSError):
        path = os.path.join(folder, OTHERS)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def forget_others(folder: str) -> None:
    """Remember that there is none any more; blocks. The next one that is met is remembered."""
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(folder, OTHERS))


def knows_others(folder: str) -> bool:
    """Whether there were others, and not all of them were forgotten; blocks."""
    return os.path.exists(os.path.join(folder, OTHERS))
