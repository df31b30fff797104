"""The log of a background mount kept short while it runs, for as long as that may be.

It is the process's stdout and stderr, so it is begun anew by putting another file in their place. A
line that was told a moment ago is left out: a program that retries a lost file all day says it once
a minute.
"""

import logging
import os
import re
import time
from typing import Final

from . import background

QUIET: Final = 60.0
"""Seconds in which an equal line is not told again."""
REMEMBERED: Final = 1000
_PID: Final = re.compile(r"\bpid \d+")


class BoundedLog(logging.Filter):
    """Looks at each line before it is written. `path` is the log that stdout and stderr are."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is to be written; a log that has grown long gives way first."""
        now = time.monotonic()
        line = _PID.sub("", record.getMessage())
        if now - self._told.get(line, -QUIET) < QUIET:
            return False
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[line] = now
        if os.fstat(2).st_size > background.LONGEST:
            self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        try:
            log = background.open_log(self._path)
        except OSError:
            # Without a place for another one, what is told from now on is worth more.
            os.ftruncate(2, 0)
            return
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)


def keep_short(path: str) -> None:
    """Bound what this process logs to `path`."""
    for handler in logging.getLogger("modelfloat").handlers:
        handler.addFilter(BoundedLog(path))
