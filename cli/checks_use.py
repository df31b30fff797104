"""What `doctor` asks of who uses a store now: locks held, mounts living and dead, failed reads."""

import os
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from ..version import __version__
from .checks import Finding, examine, ok, problem, warning
from .output import human_time, one_line, plural

if TYPE_CHECKING:
    from ..fuse.control import MountState
    from ..fuse.mountstate import ReadError

_LOCKS: Final = "/proc/locks"


def examine_use(store: str, states: "list[MountState]") -> list[Finding]:
    """Locks and mounts of one store, and dead mounts of any; the living are put into `states`."""
    return [
        *examine("locks", lambda: locks(os.path.join(store, "locks"))),
        *examine("mounts", lambda: dead_mounts(store)),
        *examine("mounts", lambda: sockets(store, states)),
    ]


def locks(folder: str) -> Iterator[Finding]:
    """Who holds which lock of the store now; nothing is locked to find out."""
    held = holders(folder, _LOCKS) if os.path.isdir(folder) else {}
    for path, who in sorted(held.items()):
        yield ok("locks", f"{path} is held by {who}")
    if not held:
        yield ok("locks", "nobody holds one")


def holders(folder: str, table: str) -> dict[str, str]:
    """The lock files of `folder` that somebody holds, and who; `table` is as proc_locks(5) says."""
    from ..fuse.mountinfo import superblock_of

    files = {}
    major, minor = map(int, superblock_of(folder).split(":"))
    for entry in os.scandir(folder):
        if "." in entry.name or entry.name.endswith("-gate"):
            continue  # names of holders, and of who waits
        files[f"{major:02x}:{minor:02x}:{entry.inode()}"] = entry.path
    found: dict[str, str] = {}
    with open(table, encoding="ascii", errors="replace") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] in files:
                path = files[fields[5]]
                found[path] = _signature(path) or f"pid {fields[4]}"
    return found


def _signature(path: str) -> str:
    """What the holders say of themselves: the only one in the lock file, several beside it."""
    from ..cas.holders import who_shares

    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            alone = file.read(300).strip()
        return one_line(alone or ", ".join(who_shares(path)))
    except OSError:
        return ""


def dead_mounts(store: str) -> Iterator[Finding]:
    """Mounts whose daemon is gone, or does not answer: a problem of `store`, a note of another."""
    from ..fuse.fsname import store_of
    from ..fuse.liveness import Life, life_of
    from ..fuse.mountinfo import mounts

    dead = 0
    for mount in mounts():
        life = life_of(mount.path)
        if life is not Life.ALIVE:
            dead += 1
            of = store_of(mount.source)
            own = os.path.realpath(of) == os.path.realpath(store)
            yield _dead(mount.path, of, own=own, gone=life is Life.DEAD)
    if not dead:
        yield ok("mounts", "none is dead")


def _dead(path: str, store: str, *, own: bool, gone: bool) -> Finding:
    """A mount that serves nobody; its own store's problem, and no other's."""
    where = shlex.quote(one_line(path))
    what = "is dead: its daemon is gone" if gone else "does not answer"
    text = f"the mount on {one_line(path)} {what}"
    end = f"`modelfloat umount {'' if gone else '--lazy '}{where}`"
    if gone:
        anew = f"modelfloat --store {shlex.quote(one_line(store))} mount {where}"
        end += f" ends it, `{anew}` serves it anew"
    if own:
        return problem("mounts", text, end)
    return warning("mounts", f"{text}; it is of the store {one_line(store) or '?'}", end)


def sockets(store: str, states: "list[MountState]") -> Iterator[Finding]:
    """What the living mounts of the store say; sockets of dead ones are removed by asking."""
    from ..fuse.control import mount_states

    folder = os.path.join(store, "run")
    before = _sockets(folder)
    states += mount_states(store)
    if gone := before - _sockets(folder):
        stale = plural(len(gone), "socket")
        yield warning("mounts", f"{stale} of dead mounts in {folder}, removed just now")
    for state in states:
        yield _living(state)
        yield from _requests(state)


def _sockets(folder: str) -> set[str]:
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


def _living(state: "MountState") -> Finding:
    if state.problem:
        return _silent(state)
    hidden = ", hidden until its last user leaves," if state.hidden else ""
    where = f"pid {state.pid} serves {state.mountpoint}{hidden} since "
    where += human_time(state.started_ns)
    how = f", binding {state.binding}" if state.binding else ""
    opened = f"{where}, {plural(len(state.open), 'open file')}{how}"
    if state.index_replaced:
        stale = f"pid {state.pid} serves {state.mountpoint} from an index that was replaced since"
        return problem("mounts", one_line(stale), "unmount it and mount it again")
    if state.version != __version__:
        other = f"{one_line(opened)}; it runs release {state.version}, this is {__version__}"
        return warning("mounts", other, "unmount it and mount it again")
    return ok("mounts", one_line(opened))


def _requests(state: "MountState") -> Iterator[Finding]:
    """How a living mount is asked for bytes, and what would help."""
    from ..fuse.tuning import told

    if known := [text for text in (told(state.device), state.note) if text]:
        yield ok("mounts", one_line(f"of {state.mountpoint} {'; '.join(known)}"))


def _silent(state: "MountState") -> Finding:
    """A mount that told nothing: only one that hangs is to be ended, others serve well."""
    from ..fuse.mountstate import SILENT

    what, _, remedy = one_line(state.problem).partition("; ")
    text = f"pid {state.pid}: {what}"
    if state.problem != SILENT:
        return warning("mounts", text, remedy or "ask as the user who mounts")
    end = f"`kill -9 {state.pid}` and then `modelfloat umount DIR` end it"
    if _stopped(state.pid):
        return problem(
            "mounts", f"{text}: it is stopped", f"`kill -CONT {state.pid}` wakes it, {end}"
        )
    return problem("mounts", text, end)


def _stopped(pid: int) -> bool:
    """Whether a process was stopped, as by Ctrl-Z; after proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[:1] in ([b"T"], [b"t"])
    except OSError:
        return False


def read_errors(states: "Iterable[MountState]") -> "list[tuple[str, ReadError]]":
    """The last failed reads of living mounts, each with its mount's folder, oldest first."""
    found = [(state.mountpoint, error) for state in states for error in state.errors]
    return sorted(found, key=lambda each: each[1].time_ns)
