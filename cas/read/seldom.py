"""Log lines that one damaged pack would bring by the hundred: one a minute, and how many more."""

import logging
from typing import Final

import trio

QUIET: Final = 60.0
"""Seconds between two lines."""


class Seldom:
    """Warnings of one kind. Used in the event loop only."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: float | None = None
        self._more = 0

    def warn(self, text: str) -> None:
        """Log `text`, unless a line was logged lately; then it is counted, and told at debug."""
        now = trio.current_time()
        if self._told is not None and now - self._told < QUIET:
            self._more += 1
            self._log.debug("%s", text)
            return
        more = f" ({self._more} such lines before it were left out)" if self._more else ""
        self._told, self._more = now, 0
        self._log.warning("%s%s", text, more)
