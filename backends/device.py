"""The device under a directory, as the label of a failure domain.

Two partitions of a disk, two subvolumes of a btrfs and a volume on one disk fail together, so a
partition counts as its disk, a filesystem with device numbers of its own (btrfs) as the device it
was mounted from, and a device-mapper volume with one device below it as that device. The label is
taken from the disk's own identity where the kernel tells one (it survives a reboot, which may
number disks anew), else from the device number.

Sources: Linux Documentation/ABI (sysfs-block, sysfs-devices-block) and proc_pid_mountinfo(5).
"""

import os
from typing import Final

from blake3 import blake3

_SYSFS: Final = "/sys/dev/block"
_MOUNTS: Final = "/proc/self/mountinfo"
_IDENTITIES: Final = ("wwid", "device/wwid", "device/serial", "serial", "dm/uuid", "md/uuid")
_DEEPEST: Final = 8


def device_domain(path: str, *, sysfs: str = _SYSFS, mounts: str = _MOUNTS) -> str:
    """`disk:<8 hex>` or `dev:<device number in hex>` for the device under `path`.

    Where `path` is not there its nearest folder above counts: rather one domain too few than one
    too many.
    """
    number = _device_of(path)
    if os.major(number) == 0:
        number = _mounted_from(number, mounts) or number
    return block_domain(number, sysfs)


def filesystem_of(path: str) -> str:
    """A label of the filesystem under `path`: equal where free space is shared."""
    return f"dev:{os.stat(path).st_dev:x}"


def block_domain(number: int, sysfs: str = _SYSFS) -> str:
    """The label of the device with that number, as `device_domain` gives it."""
    block = os.path.realpath(os.path.join(sysfs, f"{os.major(number)}:{os.minor(number)}"))
    if not os.path.isdir(block):
        return f"dev:{number:x}"
    block = _whole_disk(block)
    for name in _IDENTITIES:
        identity = _read(os.path.join(block, name))
        if identity:
            # Hashed, because markers lie on backends that need not know serial numbers.
            return f"disk:{blake3(identity.encode()).hexdigest(4)}"
    major, _, minor = _read(os.path.join(block, "dev")).partition(":")
    return f"dev:{os.makedev(int(major), int(minor)) if minor else number:x}"


def _device_of(path: str) -> int:
    path = os.path.realpath(path)
    while True:
        try:
            return os.stat(path).st_dev
        except OSError:
            above = os.path.dirname(path)
            if above == path:
                raise
            path = above


def _whole_disk(block: str) -> str:
    """From a partition or a volume on one device down to the disk."""
    for _ in range(_DEEPEST):
        if os.path.exists(os.path.join(block, "partition")):
            block = os.path.dirname(block)
            continue
        slaves = _names(os.path.join(block, "slaves"))
        if len(slaves) != 1:
            break
        block = os.path.realpath(os.path.join(block, "slaves", slaves[0]))
    return block


def _mounted_from(number: int, mounts: str) -> int | None:
    """The block device from which the filesystem with that device number was mounted, if any."""
    wanted = f"{os.major(number)}:{os.minor(number)}"
    for line in _read(mounts).split("\n"):
        mount, _, rest = line.partition(" - ")
        source = rest.split(" ")[1:2]
        if mount.split(" ")[2:3] == [wanted] and source and source[0].startswith("/dev/"):
            try:
                return os.stat(source[0]).st_rdev or None
            except OSError:
                return None
    return None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            return file.read().strip()
    except OSError:
        return ""
