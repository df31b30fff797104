"""For how long a disk that fails or hangs is left alone."""

import time
from typing import Final

FIRST: Final = 10.0
"""Seconds, doubled each time it was in vain."""
LONGEST: Final = 3600.0
SOON: Final = 10
"""Who fails again within so many times its last pause was not well in between."""


class Pause:
    """Begins, ends by itself, and is the longer the more often it was in vain."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._until = 0.0

    @property
    def on(self) -> bool:
        """Whether it lasts."""
        return time.monotonic() < self._until

    def begin(self) -> bool:
        """Whether it begins now; one that lasts goes on as it is."""
        now = time.monotonic()
        if now < self._until:
            return False
        in_vain = now < self._until + SOON * self._seconds
        self._seconds = min(2 * self._seconds, LONGEST) if in_vain else FIRST
        self._until = now + self._seconds
        return True
