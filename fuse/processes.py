"""Processes as /proc shows them: whose thread asked."""

import re
import signal
from typing import Final

_PROC: Final = "/proc"
_TGID: Final = b"\nTgid:\t"
_PENDING: Final = re.compile(rb"\n(?:SigPnd|ShdPnd):\t([0-9a-f]{16})")


def process_of(thread: int) -> int:
    """The process that a thread belongs to: FUSE tells the number of the thread that asks.

    The number itself where /proc does not say.
    """
    try:
        with open(f"{_PROC}/{thread}/status", "rb", buffering=0) as file:
            status = file.read(512)
    except OSError:
        return thread
    at = status.find(_TGID)
    return thread if at < 0 else int(status[at + len(_TGID) :].split(b"\n", 1)[0])


def is_dying(thread: int) -> bool:
    """Whether a thread has to die as soon as the kernel lets it: SIGKILL is pending, which the
    kernel makes of every signal that ends a process. False where /proc does not say."""
    try:
        with open(f"{_PROC}/{thread}/status", "rb", buffering=0) as file:
            status = file.read()  # its list of groups has no bound
    except OSError:
        return False
    killed = 1 << signal.SIGKILL - 1
    return any(int(pending, 16) & killed for pending in _PENDING.findall(status))
