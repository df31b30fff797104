"""Making and ending mounts without libfuse: the descriptor over which the kernel asks.

Root opens /dev/fuse and calls mount(2). For anybody else fusermount3, which is setuid root, does
both and hands the descriptor back over the socket whose number `_FUSE_COMMFD` has; that is how
libfuse talks to it too (`util/fusermount.c` there).
"""

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import re
import shutil
import socket
import struct
import subprocess
from typing import Final

from ..errors import UnsupportedError
from .machine import BOXED, DEVICE
from .mountinfo import Mount, mount_at
from .unmounting import PATIENCE, by_fusermount, by_kernel

_FLAGS: Final = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024}
"""Options that are flags of mount(2)."""
_CLONE: Final = 0x8004E500
"""FUSE_DEV_IOC_CLONE, `_IOR(229, 0, uint32_t)`."""
_BACKING_OPEN: Final = 0x4010E501
"""FUSE_DEV_IOC_BACKING_OPEN, `_IOW(229, 1, struct fuse_backing_map)`: descriptor, flags, zeros."""
_BACKING_CLOSE: Final = 0x4004E502
"""FUSE_DEV_IOC_BACKING_CLOSE, `_IOW(229, 2, uint32_t)`."""
_CONNECTIONS: Final = "/sys/fs/fuse/connections"

log = logging.getLogger(__name__)


def open_mount(path: str, options: frozenset[str]) -> int:
    """Mount on the folder `path`, options as of mount(8); the descriptor to answer on.

    UnsupportedError when the machine does not let us.
    """
    if os.geteuid() != 0:
        return _by_fusermount(path, options)
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise _refused(path, f"{DEVICE}: {error.strerror}") from error
    try:
        number = _by_kernel(device, path, options)
        if not number:
            return device
    except BaseException:
        os.close(device)
        raise
    os.close(device)
    if number == errno.EPERM and shutil.which("fusermount3"):
        return _by_fusermount(path, options, BOXED)  # root of a container, perhaps
    why = os.strerror(number)
    boxed = BOXED if number == errno.EPERM else ""
    raise _refused(path, why + boxed) from OSError(number, why)


def _by_kernel(device: int, path: str, options: frozenset[str]) -> int:
    """The errno of mount(2), 0 where it mounted."""
    source, kind, flags, rest = "modelfloat", "fuse", 0, []
    for option in sorted(options):
        name, _, value = option.partition("=")
        if name == "fsname":
            source = re.sub(r"\\(.)", r"\1", value)
        elif name == "subtype":
            kind = f"fuse.{value}"
        elif name in _FLAGS:
            flags |= _FLAGS[name]
        else:
            rest.append(option)
    mode = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    names = (os.fsencode(source), os.fsencode(path), kind.encode())
    libc = ctypes.CDLL(None, use_errno=True)
    data = ",".join([mode, *rest]).encode()
    if libc.mount(*names, ctypes.c_ulong(flags), data) == 0:
        return 0
    return ctypes.get_errno()


def _by_fusermount(path: str, options: frozenset[str], hint: str = "") -> int:
    program = shutil.which("fusermount3")
    if program is None:
        raise UnsupportedError("mounting as an ordinary user needs fusermount3: install `fuse3`")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with (
        ours,
        subprocess.Popen(  # noqa: S603  a fixed program, found where PATH has it
            [program, "-o", ",".join(sorted(options)), "--", path],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=(theirs.fileno(),),
            env={"LC_ALL": "C", "_FUSE_COMMFD": str(theirs.fileno())},
        ) as process,
    ):
        theirs.close()  # so that its end is seen when it says nothing
        ours.settimeout(PATIENCE)
        given, said = _handed_over(ours), ""
        try:
            _, said = process.communicate(timeout=PATIENCE if given else 1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            said = "fusermount3 does not answer"
    if not given:
        raise _refused(path, (" ".join(said.split()) or "fusermount3 does not say why") + hint)
    return given[0]


def _handed_over(end: socket.socket) -> list[int]:
    """The descriptor that comes over a socket; none where it ends, breaks or stays silent."""
    try:
        _, given, _, _ = socket.recv_fds(end, 1, 1, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return []
    return given


def _refused(path: str, why: str) -> UnsupportedError:
    return UnsupportedError(
        f"mounting on {path} was refused ({why}); remove that obstacle and mount again"
    )


def clone(device: int) -> int:
    """A descriptor more of the same mount, whose requests wait in no other's way; OSError."""
    another = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(another, _CLONE, struct.pack("=I", device))
    except BaseException:
        os.close(another)
        raise
    return another


def open_backing(device: int, file: int) -> int:
    """Have the kernel keep an open file to read from by itself; the id to name it by. OSError."""
    # Only with a buffer that can be written to does Python return what the kernel does.
    return int(fcntl.ioctl(device, _BACKING_OPEN, bytearray(struct.pack("=iIQ", file, 0, 0))))


def close_backing(device: int, backing: int) -> None:
    """Have the kernel give up an id; what is open by it stays open. OSError."""
    fcntl.ioctl(device, _BACKING_CLOSE, struct.pack("=I", backing))


def end_mount(path: str, mount: Mount | None) -> None:
    """Hide `mount` from the folder `path`, if it is still there, and end its connection.

    Requests that nobody will answer fail then, and who reads the descriptor is told. An ordinary
    user may end the connection only where /sys has it; otherwise it ends with its descriptors.
    """
    if mount is None:
        return
    if mount_at(path) == mount:
        abandon(path)
    with contextlib.suppress(OSError):
        switch = os.open(f"{_CONNECTIONS}/{mount.minor}/abort", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(switch, b"1")
        finally:
            os.close(switch)


def abandon(path: str) -> None:
    """Hide what is mounted on `path`; as root, end its connection as well. A refusal is logged."""
    reason = ""
    if os.geteuid() != 0:
        with contextlib.suppress(UnsupportedError):
            reason = by_fusermount(path, lazy=True)
    else:  # ending the connection is refused in some containers
        reason = by_kernel(path, lazy=True, force=True) and by_kernel(path, lazy=True)
    if reason:
        log.warning("%s cannot be unmounted: %s", path, reason)
