"""Things that happened long ago: refs that moved then, files that were written then."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

DAY = 86_400.0


def grow_old(paths: Iterable[Path], seconds: float) -> None:
    """Make files older: written so long ago (s)."""
    then = time.time() - seconds
    for path in paths:
        os.utime(path, (then, then))


@contextlib.contextmanager
def days_ago(days: float) -> Iterator[None]:
    """What is done meanwhile was done so many days ago, by this machine's clock."""
    then = time.time_ns() - int(days * DAY * 1e9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: then)
        yield
