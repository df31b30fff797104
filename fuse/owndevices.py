"""The devices of a store's mounts: what lies on one of them is in the store already.

No mount is touched here, so one that hangs does no harm.
"""

import contextlib
import os
from collections.abc import Iterable

from ..errors import ModelFloatError
from .control import mount_states
from .fsname import name_of
from .mountinfo import Mount, mount_at, mounts
from .mountstate import MountState


def mounts_of(store: str) -> list[Mount]:
    """The mounts, living and dead, that say that they are of the store in the folder `store`."""
    name = name_of(store)
    return [mount for mount in mounts() if mount.source == name]


def devices_of(states: Iterable[MountState]) -> set[str]:
    """The devices, as `major:minor`, of mounts that answered."""
    found = set()
    for state in states:
        # An older daemon does not say it, nor one that is just beginning.
        mount = mount_at(state.mountpoint) if state.mountpoint and not state.device else None
        found.add(state.device or (mount.device if mount else ""))
    return found - {""}


def mounted_devices(store: str) -> frozenset[int]:
    """Device numbers, as stat has them, of the mounts of the store in `store`."""
    devices = {mount.device for mount in mounts_of(store)}
    with contextlib.suppress(ModelFloatError):  # another user's, perhaps: what is seen must do
        devices |= devices_of(mount_states(store))
    numbers = [device.split(":") for device in devices]
    return frozenset(os.makedev(int(major), int(minor)) for major, minor in numbers)
