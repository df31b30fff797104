"""Working in the background: the processor and the disks only when nobody else wants them.

Linux keeps both priorities for each thread, and a new thread has those of the one that made it; so
every thread that is there gets them, and all that come have them. What is read or written through
the page cache is written back by the kernel, whose priority is its own.

Sources: sched(7), ioprio_set(2), linux/ioprio.h.
"""

import contextlib
import ctypes
import logging
import os
import platform
from typing import Final

NICEST: Final = 19
_THREADS: Final = "/proc/self/task"
_IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "loongarch64": 30}
"""The number of the system call; glibc has no function for it."""
_WHO_PROCESS: Final = 1
"""IOPRIO_WHO_PROCESS: one thread, in spite of its name."""
_IDLE: Final = 3 << 13
"""IOPRIO_CLASS_IDLE: only when no other process wants the disk."""

log = logging.getLogger(__name__)


def lower_priority() -> None:
    """Give all threads of this process the lowest priorities. What is refused is told, no more."""
    done: set[int] = set()
    refused: set[str] = set()
    # A thread may start others while this goes on: until no new one is found.
    while threads := {int(name) for name in os.listdir(_THREADS)} - done:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                refused |= _lower(thread)
        done |= threads
    for reason in sorted(refused):
        log.warning("%s", reason)


def _lower(thread: int) -> set[str]:
    refused = set()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, NICEST)
    except PermissionError as error:
        refused.add(f"the processor's priority stays as it is: {error.strerror}")
    number = _IOPRIO_SET.get(platform.machine())
    if number is None:
        refused.add(f"the disk's priority stays as it is: unknown on {platform.machine()}")
    elif _libc().syscall(number, _WHO_PROCESS, thread, _IDLE):
        reason = os.strerror(ctypes.get_errno())
        refused.add(f"the disk's priority stays as it is: {reason}")
    return refused


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
