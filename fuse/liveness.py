"""Whether the process behind a mount still answers."""

import errno
import os
import threading
from enum import Enum, auto
from typing import Final

PATIENCE: Final = 5.0
"""Seconds that a mount has to answer a simple question."""
_GONE: Final = (errno.ENOTCONN, errno.ECONNABORTED)


class Life(Enum):
    """What became of the process that serves a mount."""

    ALIVE = auto()
    DEAD = auto()
    HANGS = auto()


def life_of(path: str) -> Life:
    """The state of what is mounted on `path`; takes `PATIENCE` seconds where it hangs.

    The kernel answers a stat from memory long after a daemon's end; it asks each time for free
    space. A thread asks, because who asks a mount that hangs cannot be called back.
    """
    answers: list[Life] = []

    def ask() -> None:
        try:
            os.statvfs(path)
        except OSError as error:
            answers.append(Life.DEAD if error.errno in _GONE else Life.ALIVE)
        else:
            answers.append(Life.ALIVE)

    thread = threading.Thread(target=ask, daemon=True, name="asks a mount")
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else Life.HANGS
