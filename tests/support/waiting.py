"""Waiting for what another process or the kernel does in its own time."""

import os
import select
import time
from collections.abc import Callable

from modelfloat.tests.support.mounted import PATIENCE


def until(condition: Callable[[], object]) -> None:
    """Ask again and again, with the processor left to others in between, until it is so."""
    latest = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < latest, "it does not come about"
        select.select([], [], [], 0.01)


def until_ended(pid: int) -> None:
    """Until the process is gone; it need not be our child."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended, _, _ = select.select([process], [], [], PATIENCE)
        assert ended, f"pid {pid} does not end"
    finally:
        os.close(process)
