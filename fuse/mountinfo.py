"""The mounts of this system that are ours, from `/proc/self/mountinfo`; no mount is touched."""

import os
import re
from dataclasses import dataclass
from typing import Final

TYPE: Final = "fuse.modelfloat"
"""The type of our mounts, as `mount` and `findmnt -t` show it."""
_MOUNTINFO: Final = "/proc/self/mountinfo"
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
_ESCAPE: Final = re.compile(rb"\\([0-3][0-7]{2})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: the folder it covers, its type, and its device as `major:minor`.

    `id` is the mount's number in its namespace; `source` what was mounted: of ours, see `fsname`.
    """

    path: str
    type: str
    device: str
    id: int = 0
    source: str = ""

    @property
    def minor(self) -> int:
        """The device's minor number: the name of a FUSE mount's connection in sysfs."""
        return int(self.device.partition(":")[2])


def parse_mountinfo(data: bytes) -> list[Mount]:
    """All mounts in the order they were made; the format is that of proc_pid_mountinfo(5)."""
    found = []
    for line in data.split(b"\n"):  # of a name, the kernel leaves "\r" as it is
        head, separator, tail = line.partition(b" - ")
        fields, rest = head.split(b" "), tail.split(b" ")
        if separator and len(fields) > 4 and len(rest) > 1 and _NUMBER.fullmatch(fields[0]):
            path, source = _unescaped(fields[4]), _unescaped(rest[1])
            device = fields[2].decode(errors="replace")
            type_ = rest[0].decode(errors="replace")
            found.append(Mount(path, type_, device, int(fields[0]), source))
    return found


def _unescaped(field: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))


def all_mounts(path: str = "") -> list[Mount]:
    """Every mount that this process sees; `path` is another process's mountinfo."""
    with open(path or _MOUNTINFO, "rb") as file:
        return parse_mountinfo(file.read())


def mounts() -> list[Mount]:
    """Our mounts, living and dead."""
    return [mount for mount in all_mounts() if mount.type == TYPE]


def is_mounted(device: str) -> bool:
    """Whether this process sees the filesystem `device` (`major:minor`) mounted anywhere."""
    return any(mount.device == device for mount in all_mounts())


def mount_at(path: str) -> Mount | None:
    """The topmost mount that covers the folder `path`, of whatever type; None if it is none.

    Only the folder's parent is resolved: a stat of a mount that hangs would hang as well. A path
    that is itself a symbolic link is followed when nothing is mounted under its own name.
    """
    parent, name = os.path.split(os.path.abspath(path))
    found = _topmost(os.path.join(os.path.realpath(parent), name))
    if found is None and os.path.islink(path):
        found = _topmost(os.path.realpath(path))
    return found


def mount_above(path: str) -> Mount | None:
    """The mount of ours inside which `path` lies; None if in none. No link is followed."""
    parents = {path[:at] for at, letter in enumerate(path) if letter == "/"}
    return next((mount for mount in mounts() if mount.path in parents), None)


def superblock_of(path: str) -> str:
    """The device, as `major:minor`, by which the kernel knows the filesystem under a folder.

    It is that of mountinfo and of `/proc/locks`; stat tells another one of a btrfs subvolume.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            known = dict(line.split(":", 1) for line in file if ":" in line)
        number = int(known.get("mnt_id", "-1"))
        found = [mount.device for mount in all_mounts() if mount.id == number]
        status = os.fstat(fd)
    finally:
        os.close(fd)
    return found[0] if found else f"{os.major(status.st_dev)}:{os.minor(status.st_dev)}"


def _topmost(path: str) -> Mount | None:
    covering = [mount for mount in all_mounts() if mount.path == path]
    return covering[-1] if covering else None
