"""When other sites were followed last: a file whose time says so, which all processes look at."""

import os
import time
from typing import Final

from ..lease.others import knows_others

STAMP: Final = "followed"
"""The file beside the lock files whose time says when somebody followed last."""
REFRESH: Final = 10.0
"""Seconds between two rounds, unless told otherwise."""
ALONE: Final = 600.0
"""Seconds between two rounds of commands while no other site is known, at least."""


def is_due(folder: str, refresh: float) -> bool:
    """Whether nobody has followed within `refresh` seconds; blocks. `folder` has the lock files."""
    try:
        since = abs(time.time() - os.stat(os.path.join(folder, STAMP)).st_mtime)
    except OSError:
        return os.path.isdir(folder)
    return since >= (refresh if knows_others(folder) else max(refresh, ALONE))


def note_followed(folder: str) -> None:
    """Note that somebody followed just now; blocks."""
    path = os.path.join(folder, STAMP)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.utime(path)
