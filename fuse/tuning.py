"""Kernel settings of a mount that only root may change, and only after mounting.

Larger read-ahead makes the kernel ask for 1 MiB at a time instead of 128 KiB, which halves what a
sequential read costs in requests. It holds for files opened from then on.
"""

import logging
import os
from typing import Final

from .mountinfo import Mount

READ_AHEAD_KB: Final = 1024
"""The longest request FUSE has: 256 pages."""
MAX_BACKGROUND: Final = 64
"""Read-ahead requests under way at once."""
CONGESTION: Final = 48
"""From so many on the kernel stops to read ahead; three quarters, as is its own default."""

log = logging.getLogger(__name__)


def settings_of(mount: Mount, sysfs: str = "/sys") -> dict[str, int]:
    """The files to write for a mount, and what to write."""
    connection = f"{sysfs}/fs/fuse/connections/{mount.minor}"
    return {
        f"{sysfs}/class/bdi/{mount.device}/read_ahead_kb": READ_AHEAD_KB,
        f"{connection}/max_background": MAX_BACKGROUND,
        f"{connection}/congestion_threshold": CONGESTION,
    }


def tune(mount: Mount, sysfs: str = "/sys") -> list[str]:
    """Apply the settings where that is allowed; returns and logs what was set.

    What is not there or not allowed stays as it is: the mount works all the same.
    """
    done = []
    for path, value in settings_of(mount, sysfs).items():
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            log.debug("%s stays as it is: %s", path, error.strerror)
            continue
        try:
            os.write(fd, b"%d\n" % value)
        except OSError as error:
            log.debug("%s stays as it is: %s", path, error.strerror)
            continue
        finally:
            os.close(fd)
        done.append(f"{os.path.basename(path)}={value}")
    log.info("%s: set %s", mount.path, ", ".join(done) if done else "nothing")
    return done
