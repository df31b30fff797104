"""Ending a mount from outside: asked of the kernel, refused while somebody uses it."""

import ctypes
import os
import shutil
import subprocess
from typing import Final

from ..errors import BusyError, ModelFloatError, NotFoundError, UnsupportedError
from .control import forget_dead
from .fsname import store_of
from .holders import Holder, holders_of
from .liveness import Life, life_of
from .mountinfo import TYPE, Mount, mount_at

_FORCE: Final = 1
"""MNT_FORCE of umount2(2): of a FUSE mount it ends the connection."""
_LAZY: Final = 2
"""MNT_DETACH of umount2(2)."""
_NO_LINK: Final = 8
"""UMOUNT_NOFOLLOW of umount2(2)."""
PATIENCE: Final = 30.0
"""Seconds that fusermount3 may take."""


def unmount(path: str, *, lazy: bool = False) -> None:
    """End the mount of ours that covers `path`, living or dead.

    With `lazy` it is hidden at once, and ends when nobody uses it any more. NotFoundError when
    there is none; BusyError when programs still use it: `users` tells which.
    """
    mount = _ours(path)
    if lazy:
        detach(mount.path, lazy=True)
    elif not detach(mount.path, lazy=False, may_be_busy=True):
        _end_what_is_busy(mount)
    _forget(mount)


def users(path: str) -> list[Holder]:
    """The processes that use the mount of ours on `path`; NotFoundError when there is none."""
    return holders_of(_ours(path))


def _ours(path: str) -> Mount:
    mount = mount_at(path)
    if mount is None or mount.type != TYPE:
        raise NotFoundError(
            f"no store is mounted on {path}; `findmnt -t {TYPE}` shows where one is mounted"
        )
    return mount


def _end_what_is_busy(mount: Mount) -> None:
    """Of a dead one no use can be made: it is ended with open files. Another one stays."""
    life = life_of(mount.path)
    if life is Life.HANGS:
        raise BusyError(
            f"{mount.path} does not answer, and programs wait for it; `modelfloat doctor` says "
            "how to have it go on or end, `modelfloat umount --lazy "
            f"{mount.path}` hides it now"
        )
    if life is not Life.DEAD:
        raise BusyError(
            f"{mount.path} is in use; end what uses it, or let `modelfloat umount --lazy "
            f"{mount.path}` hide it now and end it with its last user"
        )
    detach(mount.path, lazy=True)


def _forget(mount: Mount) -> None:
    """Remove the socket that a daemon left which was killed."""
    store = store_of(mount.source)
    if os.path.isabs(store):
        forget_dead(store)


def detach(path: str, *, lazy: bool, may_be_busy: bool = False) -> bool:
    """Unmount `path`. `lazy` hides it at once, and lets go when nobody uses it any more.

    False where it is in use and `may_be_busy`; any other failure is a ModelFloatError.
    """
    # umount(8) would ask the filesystem for its type: one that hangs would hang it.
    reason = by_kernel(path, lazy=lazy) if os.geteuid() == 0 else by_fusermount(path, lazy)
    if reason and not (may_be_busy and "busy" in reason):
        raise ModelFloatError(
            f"unmounting {path} failed: {reason}; `findmnt -t {TYPE}` shows what is mounted"
        )
    return not reason


def by_kernel(path: str, *, lazy: bool, force: bool = False) -> str:
    """Why umount2(2) refuses, "" if it does not. `force` ends the connection as well."""
    libc = ctypes.CDLL(None, use_errno=True)
    way = _NO_LINK | (_LAZY if lazy else 0) | (_FORCE if force else 0)
    if libc.umount2(os.fsencode(path), way) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def by_fusermount(path: str, lazy: bool) -> str:
    """Why the program that may unmount for ordinary users refuses, "" if it does not."""
    program = shutil.which("fusermount3")
    if program is None:
        raise UnsupportedError("unmounting needs fusermount3; install `fuse3` and try again")
    try:
        result = subprocess.run(  # noqa: S603  a fixed program, found where PATH has it
            [program, "-u", *(["-z"] if lazy else []), path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=PATIENCE,
            env={"LC_ALL": "C"},  # what it says is read above
        )
    except subprocess.TimeoutExpired:
        return "it does not answer"
    return " ".join(result.stderr.split()) if result.returncode else ""
