"""Locks between processes: flock on small files in the store, with the holder's name inside.

The kernel lets go of a flock when its process dies, so no lock is ever stale. Waiting polls: flock
has no wake-up that trio could wait for without holding a thread.

Who wants a lock alone first takes its gate, `<lock>-gate`, and keeps it; who would share the lock
passes through the gate, which takes no time while it is open. So one who waits to be alone keeps
those out who come later, and cannot be starved by them. Everybody takes the gate before the lock,
and nobody who has the lock comes back for the gate: nothing can wait in a circle as long as no task
takes the same lock twice.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Final

import trio

from ..errors import LockedError, ModelFloatError
from .holders import UNKNOWN, erase, sign, signature, signed_in, who_shares

POLL: Final = 0.1
"""Seconds between two tries."""
PATIENCE: Final = 1.0
"""Seconds of waiting that are worth no message: most locks are held for a moment."""
SHOWN: Final = 3
"""Holders that a message names."""

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def locked(
    path: str, *, shared: bool = False, wait: bool = True, what: str = ""
) -> AsyncIterator[None]:
    """Hold the lock file `path`, alone or shared; `what` tells those who wait for which work.

    LockedError names the holders where it is taken and not `wait`.
    """
    gate, fd = _open(f"{path}-gate"), -1
    try:
        fd = _open(path)
        await _take(gate, f"{path}-gate", path, shared, wait)
        if not shared:
            sign(gate, what)
        await _take(fd, path, path, shared, wait)
        with contextlib.ExitStack() as stack:
            if shared:
                stack.enter_context(signed_in(path, what))
                # Only now: until then who is alone would not know whom it waits for.
                fcntl.flock(gate, fcntl.LOCK_UN)
            else:
                sign(fd, what)
                # Else who shares it later without a name would be taken for this one.
                stack.callback(erase, fd)
            yield
    finally:
        os.close(gate)
        if fd >= 0:
            os.close(fd)


async def _take(fd: int, file: str, name: str, shared: bool, wait: bool) -> None:
    """Lock `fd`, which is `file`; messages speak of `name`."""
    told = False
    began = trio.current_time()
    while not _try(fd, shared):
        holders = who_shares(file)
        shown = "; ".join(holders[:SHOWN]) or signature(fd) or UNKNOWN
        more = f" and {len(holders) - SHOWN} more" if len(holders) > SHOWN else ""
        if not wait:
            raise LockedError(f"{name} is held by {shown}{more}; try again later, or with --wait")
        if not told and trio.current_time() >= began + PATIENCE:
            log.warning("waiting for %s: held by %s%s", name, shown, more)
            told = True
        await trio.sleep(POLL)


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
