"""The device numbers of a store's mounts: what lies on one of them is in the store already."""

import os

from .control import mount_states
from .mountinfo import mount_at


def mounted_devices(store: str) -> frozenset[int]:
    """Device numbers, as stat has them, of the live mounts of the store in `store`.

    No mount is touched, so one that hangs does no harm.
    """
    found = (mount_at(s.mountpoint) for s in mount_states(store) if s.mountpoint and not s.problem)
    numbers = [mount.device.split(":") for mount in found if mount is not None]
    return frozenset(os.makedev(int(major), int(minor)) for major, minor in numbers)
