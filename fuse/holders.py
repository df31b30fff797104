"""Who uses a mount: the processes with a file, a mapping or their working directory in it.

/proc tells of our own processes, or of all to root, also of those in containers to which the mount
was handed on. The mount's daemon tells which process opened a file, whoever's it is. No file of
the mount is touched: a mount that hangs would hang whoever looks.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ..errors import ModelFloatError
from .control import mount_states
from .fsname import store_of
from .mountinfo import Mount, all_mounts

_PROC: Final = "/proc"
WORKING_DIRECTORY: Final = "(working directory)"


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that uses a mount: its number, its name, and what it uses."""

    pid: int
    name: str
    files: tuple[str, ...]


def holders_of(mount: Mount) -> list[Holder]:
    """The processes that use a mount, by number; those of other users only as far as known."""
    uses: dict[int, set[str]] = {}
    for pid, what in [*_by_proc(mount), *_by_daemon(mount)]:
        uses.setdefault(pid, set()).add(what)
    return [
        Holder(pid, name_of(pid) or "?", tuple(sorted(what))) for pid, what in sorted(uses.items())
    ]


def name_of(pid: int) -> str:
    """The name of a process's program; "" where it has ended."""
    try:
        with open(f"{_PROC}/{pid}/comm", encoding="utf-8", errors="backslashreplace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _by_daemon(mount: Mount) -> Iterator[tuple[int, str]]:
    """Who opened what is open, of those that are still there: they may have handed it on."""
    with contextlib.suppress(ModelFloatError):
        store = store_of(mount.source)
        for state in mount_states(store) if os.path.isabs(store) else []:
            if state.mountpoint == mount.path and not state.hidden:
                for file in state.open:
                    yield from ((p, file.name) for p in file.pids if os.path.exists(f"/proc/{p}"))


def _by_proc(mount: Mount) -> Iterator[tuple[int, str]]:
    namespaces: dict[str, list[Mount]] = {}
    for name in os.listdir(_PROC):
        if name.isdigit():
            # Processes end while they are looked at, and others' may not be looked at.
            with contextlib.suppress(OSError):
                here = _seen_by(f"{_PROC}/{name}", mount.device, namespaces)
                for what in _uses(f"{_PROC}/{name}", mount.device, here) if here else ():
                    yield int(name), what


def _seen_by(process: str, device: str, namespaces: dict[str, list[Mount]]) -> list[Mount]:
    """The mounts of `device` in a process's namespace."""
    namespace = os.readlink(f"{process}/ns/mnt")
    if namespace not in namespaces:
        found = all_mounts(f"{process}/mountinfo")
        namespaces[namespace] = [mount for mount in found if mount.device == device]
    return namespaces[namespace]


def _uses(process: str, device: str, here: list[Mount]) -> Iterator[str]:
    ids = {mount.id for mount in here}
    for fd in os.listdir(f"{process}/fd"):
        with contextlib.suppress(OSError):
            if _mount_id(f"{process}/fdinfo/{fd}") in ids:
                yield _inside(os.readlink(f"{process}/fd/{fd}"), here)
    for link in ("cwd", "root"):
        place = os.readlink(f"{process}/{link}")
        if any(f"{place}/".startswith(f"{mount.path}/") for mount in here):
            yield WORKING_DIRECTORY
    for path in _mapped(f"{process}/maps", device):
        yield _inside(path, here)


def _mount_id(fdinfo: str) -> int:
    with open(fdinfo, "rb") as file:
        for line in file:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    return 0


def _inside(path: str, here: list[Mount]) -> str:
    """A path as its daemon calls it: seen from the mount's root."""
    for mount in here:
        if path.startswith(f"{mount.path}/"):
            return path[len(mount.path) + 1 :]
    return path


def _mapped(maps: str, device: str) -> Iterator[str]:
    major, _, minor = device.partition(":")
    wanted = f"{int(major):02x}:{int(minor):02x}".encode()
    with open(maps, "rb") as file:
        for line in file:
            fields = line.rstrip(b"\n").split(None, 5)
            if fields[3] == wanted:
                yield os.fsdecode(fields[5])
