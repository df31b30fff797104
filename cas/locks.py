"""Locks between processes: flock on small files in the store, holder's pid and host inside.

The kernel lets go of a flock when its process dies, so no lock is ever stale. Waiting polls: flock
has no wake-up that trio could wait for without holding a thread.
"""

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Final

import trio

from ..errors import LockedError, ModelFloatError

POLL: Final = 0.1
"""Seconds between two tries."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def locked(path: str, *, shared: bool = False, wait: bool = True) -> AsyncIterator[None]:
    """Hold the lock file `path`; LockedError names the holder where it is taken and not `wait`."""
    fd = _open(path)
    try:
        told = False
        while not _try(fd, shared):
            holder = _holder(fd)
            if not wait:
                raise LockedError(f"{path} is held by {holder}; wait for it or use --wait")
            if not told:
                log.warning("waiting for %s, held by %s", path, holder)
                told = True
            await trio.sleep(POLL)
        if not shared:
            _sign(fd)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def first_free(folder: str, prefix: str) -> Iterator[str]:
    """Hold the first lock file `prefix-0`, `prefix-1`, … of `folder` that nobody holds."""
    number = 0
    while True:
        path = os.path.join(folder, f"{prefix}-{number}")
        fd = _open(path)
        if _try(fd, shared=False):
            break
        os.close(fd)
        number += 1
    try:
        yield path
    finally:
        os.close(fd)


def each_free(folder: str, prefix: str) -> Generator[str, None, None]:
    """Hold, one after the other, every lock file `prefix-…` of `folder` that nobody holds."""
    for name in sorted(os.listdir(folder)):
        if name.startswith(f"{prefix}-"):
            path = os.path.join(folder, name)
            fd = _open(path)
            try:
                if _try(fd, shared=False):
                    yield path
            finally:
                os.close(fd)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ModelFloatError(
            f"{path} cannot be locked: {error.strerror}; may this user write to the store?"
        ) from error


def _try(fd: int, shared: bool) -> bool:
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(fd: int) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
