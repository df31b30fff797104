"""The folder to mount on: made when it is missing, refused when it is in use."""

import errno
import os
import shutil
import subprocess
from typing import Final

from ..errors import ExistsError, ModelFloatError, NotFoundError, UnsupportedError
from .mountinfo import TYPE, mount_at

DEVICE: Final = "/dev/fuse"
FUSE_CONF: Final = "/etc/fuse.conf"


def prepare(path: str) -> str:
    """The real path of an empty folder to mount on; a dead mount of ours there is cleared away.

    ExistsError where we, or something else, are mounted already and where the folder is not empty;
    ModelFloatError where it cannot be made.
    """
    path = os.path.abspath(path)
    _clear(path)
    try:
        os.makedirs(path, exist_ok=True)
        content = os.listdir(path)
    except OSError as error:
        raise ModelFloatError(
            f"cannot mount on {path}: {error.strerror}; name a folder that is empty or can be made"
        ) from error
    if content:
        raise ExistsError(
            f"cannot mount on {path}: it is not empty, and what is in it would be hidden; name an "
            "empty folder"
        )
    return os.path.realpath(path)


def _clear(path: str) -> None:
    mount = mount_at(path)
    if mount is None:
        return
    if mount.type != TYPE:
        if is_dead(path):
            raise ExistsError(
                f"{path} is a dead mount of type {mount.type}; unmount it, or name another folder"
            )
        return  # an ordinary filesystem: an empty one may be mounted over
    if not is_dead(path):
        raise ExistsError(
            f"a store is mounted on {path} already; run `modelfloat umount {path}` first"
        )
    detach(mount.path, lazy=True)


def is_dead(path: str) -> bool:
    """Whether the process that served a mount is gone.

    The kernel answers a stat from memory long after; it asks each time for free space.
    """
    try:
        os.statvfs(path)
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def unmount(path: str) -> None:
    """End the mount of ours that covers `path`, living or dead.

    NotFoundError when there is none; ModelFloatError when programs still use it.
    """
    mount = mount_at(path)
    if mount is None or mount.type != TYPE:
        raise NotFoundError(
            f"no store is mounted on {path}; `findmnt -t {TYPE}` shows where one is mounted"
        )
    detach(mount.path, lazy=is_dead(mount.path))


def detach(path: str, *, lazy: bool) -> None:
    """Unmount `path`. `lazy` hides it at once, and lets go when nobody uses it any more."""
    if os.geteuid() == 0:
        command = ["umount", "-i", *(["-l"] if lazy else []), path]
    else:
        command = ["fusermount3", "-u", *(["-z"] if lazy else []), path]
    try:
        result = subprocess.run(  # noqa: S603  a fixed program, found where PATH has it
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise UnsupportedError(f"unmounting needs {command[0]}; install it and try again") from None
    if result.returncode == 0:
        return
    reason = " ".join(result.stderr.split())
    if "busy" in reason:
        raise ModelFloatError(
            f"{path} is in use; close what is open there (`fuser -vm {path}` lists it), then "
            "unmount again"
        )
    raise ModelFloatError(f"unmounting {path} failed: {reason}; try `{' '.join(command)}`")


def check_machine(*, allow_other: bool) -> None:
    """UnsupportedError, with what to install or change, where this machine cannot mount."""
    if not os.path.exists(DEVICE):
        raise UnsupportedError(
            f"there is no {DEVICE}: load the kernel module (`modprobe fuse`); a container needs it "
            "handed in (`--device /dev/fuse --cap-add SYS_ADMIN`)"
        )
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise UnsupportedError(f"{DEVICE} may not be opened by you; `chmod 666 {DEVICE}` as root")
    if os.geteuid() == 0:
        return
    if shutil.which("fusermount3") is None:
        raise UnsupportedError("mounting as an ordinary user needs fusermount3: install `fuse3`")
    if allow_other and not others_allowed(FUSE_CONF):
        raise UnsupportedError(
            f"--allow-other is for root unless {FUSE_CONF} has a line `user_allow_other`; add it, "
            "or leave the option out"
        )


def others_allowed(conf: str) -> bool:
    """Whether fuse.conf lets ordinary users mount for others."""
    try:
        with open(conf, encoding="utf-8", errors="replace") as file:
            return any(line.strip() == "user_allow_other" for line in file)
    except OSError:
        return False
