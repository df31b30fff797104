"""How much memory this process may take: what its control groups allow, and what is free.

Both versions of control groups, at every level up to the root: a limit binds all below it
(https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html). The files are small
and in the kernel's memory, so they are read where they are needed.
"""

import os
from collections.abc import Iterator
from typing import Final

SHARE: Final = 4
"""By default reading takes one part in so many of what is there."""
LEAST: Final = 64 << 20
MOST: Final = 1 << 30
"""What reading takes by default, at least and at most; bytes."""
LIMITS: Final = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""Of version 2 the hard limit and that from which on a group is slowed down; that of version 1."""


def default_limit(root: str = "/") -> int:
    """Bytes that reading may take when nobody says, in whole MiB; `root` is where /proc and /sys
    lie."""
    return max(LEAST, min(MOST, available(root) // SHARE >> 20 << 20))


def available(root: str = "/") -> int:
    """Bytes that this process could have: the least of its groups' limits and of what is free."""
    return min([_free(root), *_group_limits(root)])


def _free(root: str) -> int:
    for line in _read(os.path.join(root, "proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return MOST * SHARE


def _group_limits(root: str) -> Iterator[int]:
    for mount, inside in _hierarchies(root):
        folder = os.path.join(root, mount.lstrip("/"))
        parts = [part for part in inside.split("/") if part]
        for depth in range(len(parts) + 1):
            group = os.path.join(folder, *parts[:depth])
            for name in LIMITS:
                text = _read(os.path.join(group, name)).strip()
                if text.isdecimal():  # "max" is no limit
                    yield int(text)


def _hierarchies(root: str) -> Iterator[tuple[str, str]]:
    """Where each hierarchy with a memory controller is mounted, and this process's group in it.

    In a container the group may lie outside of what is mounted: then only the mount's root is seen.
    """
    groups = _groups(root)
    for line in _read(os.path.join(root, "proc/self/mountinfo")).splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        if kind == "cgroup2":
            group = groups.get("")
        elif kind == "cgroup" and "memory" in options.rpartition(" ")[2].split(","):
            group = groups.get("memory")
        else:
            continue
        top, mount = fields.split(" ")[3:5]
        if group is not None:
            yield mount, os.path.relpath(group, top) if _within(group, top) else ""


def _within(group: str, top: str) -> bool:
    return group == top or group.startswith(top.rstrip("/") + "/")


def _groups(root: str) -> dict[str, str]:
    """This process's group by controller; "" is version 2's, that has all of them."""
    found: dict[str, str] = {}
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        found.update(dict.fromkeys(controllers.split(","), group))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
