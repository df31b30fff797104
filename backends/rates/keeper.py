"""Where it is kept whose turn it is: in this process alone, or in a file that several share.

Concurrency: a step runs alone, whoever else has steps to take: in the event loop without an await,
or in a thread that holds the file's lock.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import trio

from .day import HOUR
from .record import BOOT_SIZE, SIZE, Known, decode, encode
from .turns import SECOND

T = TypeVar("T")

POLL: Final = 0.005
"""Seconds between two tries to lock the file: who has it needs some microseconds."""
PATIENCE: Final = 2.0
"""Seconds after which it is done without: somebody was stopped while holding it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Now:
    """The time: `clock` in nanoseconds of what all processes of a machine share, and the `hour`
    since the Unix epoch."""

    clock: int
    hour: int


Step = Callable[[Known, Now], tuple[Known, T]]
"""From what is known to what is known next, and to what came of it."""


class Keeper(Protocol):
    """Keeps what is known."""

    async def change(self, step: Step[T]) -> T:
        """Take a step; what came of it."""
        ...

    async def aclose(self) -> None:
        """Let go of it; it may be used again."""
        ...


class OwnKeeper:
    """For this process alone, by the event loop's clock."""

    def __init__(self) -> None:
        self._known = Known()

    async def change(self, step: Step[T]) -> T:
        """See `Keeper.change`."""
        now = Now(int(trio.current_time() * SECOND), int(time.time()) // HOUR)
        self._known, result = step(self._known, now)
        return result

    async def aclose(self) -> None:
        """See `Keeper.aclose`."""


class SharedKeeper:
    """In the file `path`, for all processes of this machine that share it.

    Where that file cannot be had each process counts for itself, and says so once. `give` makes a
    file that was opened the property of the store's owner.
    """

    def __init__(self, path: str, give: Callable[[int], None]) -> None:
        self._path = path
        self._give = give
        self._fd = -1
        self._boot = b""
        self._one = trio.CapacityLimiter(1)
        self._own: OwnKeeper | None = None

    async def change(self, step: Step[T]) -> T:
        """See `Keeper.change`."""
        latest = trio.current_time() + PATIENCE
        while self._own is None:
            try:
                return await trio.to_thread.run_sync(self._locked, step, limiter=self._one)
            except BlockingIOError:
                if trio.current_time() < latest:
                    await trio.sleep(POLL)
                    continue
                why = "somebody holds its lock"
            except OSError as error:
                why = error.strerror or str(error)
            self._own = OwnKeeper()
            log.warning(
                "%s cannot be shared with other processes: %s; this one counts by itself",
                self._path,
                why,
            )
        return await self._own.change(step)

    async def aclose(self) -> None:
        """See `Keeper.aclose`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _locked(self, step: Step[T]) -> T:
        if self._fd < 0:
            self._open()
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            now = Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), int(time.time()) // HOUR)
            found = os.pread(self._fd, SIZE + 1, 0)
            known, result = step(decode(found, self._boot), now)
            os.pwrite(self._fd, encode(known, self._boot), 0)
            if len(found) > SIZE:  # it would never be read as ours
                os.ftruncate(self._fd, SIZE)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return result

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            self._give(fd)
            self._boot = _boot()
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd


def _boot() -> bytes:
    """Which boot of the machine this is; its clock began then."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return bytes.fromhex(file.read().strip().replace("-", "")).ljust(BOOT_SIZE, b"\0")
