"""Kernel settings of a mount that only root may change, and only after mounting.

Larger read-ahead makes the kernel ask for 1 MiB at a time instead of 128 KiB, which halves what a
sequential read costs in requests. It holds for files opened from then on. Where a rule of udev lets
others write these files (docs/mounting.md), whoever mounts changes them.
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
    """Apply the settings where that is allowed; returns what was set.

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
    return done


def request_size(device: str, sysfs: str = "/sys") -> int | None:
    """Bytes that the kernel asks for at a time when it reads ahead on the mount `device`
    (`major:minor`); None where sysfs does not say."""
    try:
        with open(f"{sysfs}/class/bdi/{device}/read_ahead_kb", encoding="ascii") as file:
            return min(int(file.read()), READ_AHEAD_KB) << 10
    except (OSError, ValueError):
        return None


def told(device: str, sysfs: str = "/sys") -> str:
    """How long the kernel's requests are, and what would make them longer; "" if unknown."""
    size = request_size(device, sysfs)
    if size is None:
        return ""
    asks = f"the kernel asks for {size >> 10} KiB at a time"
    if size >> 10 >= READ_AHEAD_KB:
        return asks
    return f"{asks}, root can make that {READ_AHEAD_KB} (docs/mounting.md)"
