"""The reserve: a file of real blocks in the store's folder, given up when the disk is full.

Removing things takes a little room: journal records, pages of the index. On a full disk there is
none, so rm and gc give the reserve up, do again what failed, and make it anew when there is room.
Backends that are full have one each for that (`cas.ballast`).

A reserve of no bytes says that none is wanted; one that is not there was given up, or never made.
"""

import errno
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import lmdb
import trio

from ..errors import QuotaError, first_failure
from .ballast import Ballast

NAME: Final = "reserve"
SIZE: Final = 256 << 20
"""Bytes of a reserve, where the disk has plenty."""
SHARE: Final = 100
"""A reserve takes at most this part of what is free."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_T = TypeVar("_T")

log = logging.getLogger(__name__)


class Reserve:
    """The reserve of the store in the folder `path`, and that of its backends, where told."""

    def __init__(self, path: str, ballast: Ballast | None = None) -> None:
        self._path = os.path.join(path, NAME)
        self._ballast = ballast
        self._jobs = 0

    def make(self, size: int = SIZE) -> None:
        """Make it, or make it longer, as far as there is room; without room it stays as it is.

        Bytes, of which a SHARE of the free space is the limit. Blocks.
        """
        there = self._length()
        if there == 0:
            return
        if size == 0:
            self._extend(0, 0)
            return
        found = os.statvfs(os.path.dirname(self._path))
        room = found.f_bavail * found.f_frsize + (there or 0)
        wanted = min(size, room // SHARE)
        if wanted > (there or 0):
            self._extend(there, wanted)

    @property
    def size(self) -> int:
        """Bytes that are kept now; 0 where it was given up, or none is wanted. Blocks."""
        return self._length() or 0

    def give_up(self) -> bool:
        """Remove it; whether that gave any room. Blocks."""
        if not self._length():
            return False
        try:
            os.unlink(self._path)
        except OSError as error:
            log.warning("%s: %s", self._path, error.strerror)
            return False
        return True

    @property
    def wanted(self) -> bool:
        """Whether one is kept, here and on the backends, as far as there is room. Blocks."""
        return self._length() != 0

    async def retrying(self, job: Callable[[], Awaitable[_T]]) -> _T:
        """Do `job`; where a disk or a backend is full give the reserve up there and do it again."""
        self._jobs += 1
        try:
            done, gave = await self._until_done(job)
        finally:
            self._jobs -= 1
        await trio.to_thread.run_sync(self.make)
        if gave:
            await self.make_on_backends()
        return done

    async def _until_done(self, job: Callable[[], Awaitable[_T]]) -> tuple[_T, bool]:
        """What `job` returns, and whether a reserve was given up for it."""
        gave = False
        while True:
            try:
                return await job(), gave
            except Exception as error:
                if not is_full(error) or not await self._make_room(error):
                    raise
                gave = True

    async def make_on_backends(self) -> None:
        """Have one on each backend, where one is wanted and there is room."""
        if self._ballast is not None and await trio.to_thread.run_sync(lambda: self.wanted):
            await self._ballast.make()

    async def _make_room(self, error: Exception) -> bool:
        """Give up what is kept where it is full, on the backends first; whether that gave room."""
        if self._ballast is not None and await self._ballast.give_up(error):
            return True
        return await trio.to_thread.run_sync(self._give_up_for, error)

    def make_room(self, error: Exception) -> bool:
        """Give up the file where a full disk is behind an error of a job that may take it; whether
        that gave room. Blocks.

        For what cannot be left and done again from the start: its record is on the backends.
        """
        return self._jobs > 0 and is_full(error) and self._give_up_for(error)

    def _give_up_for(self, error: Exception) -> bool:
        if not self.give_up():
            return False
        cause = first_failure(error) or error
        log.warning("the disk is full (%s): giving up the reserve, %s", cause, self._path)
        return True

    def _length(self) -> int | None:
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return None

    def _extend(self, there: int | None, size: int) -> None:
        """Real blocks up to `size`; without room for them it is as long as it was."""
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if size:
                    os.posix_fallocate(fd, 0, size)
            except OSError:
                os.ftruncate(fd, there or 0)
                if there is None:
                    os.unlink(self._path)
                raise
            finally:
                os.close(fd)
        except OSError as error:
            log.info("no reserve at %s: %s", self._path, error.strerror)


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error, or behind one of a group of them."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_full(inner) for inner in error.exceptions)
    while error is not None:
        if isinstance(error, QuotaError | lmdb.DiskError):
            return True
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False
