"""Atomic, durable writes into a directory: temporary file, fsync, rename, fsync of the folder.

Everything here blocks and runs in worker threads. Shared between threads are the set of folders
known durable, whose operations are atomic under the GIL, and an `Approval`, which has a lock.

The order is the one POSIX asks for: rename(2) replaces atomically, fsync(2) of a folder makes its
entries durable, and a new folder is durable once the folder above it was fsynced. Space is not
reserved beforehand: posix_fallocate(3) writes every page twice on tmpfs and where it is emulated.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Sequence
from typing import Final

from ..durable import sync_folder
from .base import Buffer
from .keys import RESERVED

IOV_MAX: Final = min(os.sysconf("SC_IOV_MAX"), 1024) if os.sysconf("SC_IOV_MAX") > 0 else 16
LEFTOVER_AGE: Final = 3600.0
"""Seconds after which a temporary file that nobody holds is removed."""
_TRIES: Final = 8

_UPLOAD: Final = re.compile("[0-9a-f]{32}")

log = logging.getLogger(__name__)


class AbandonedError(Exception):
    """The caller was cancelled before the write was published; nobody is left to see this."""


class Approval:
    """Whether a write may still be published; decided once, between its task and its thread.

    Until `commit` the thread reads the caller's buffers, which may change once the caller was
    cancelled: such a write must not be published.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._abandoned = False
        self._committed = False

    def abandon(self) -> bool:
        """Called by the task; True if the write will not be published."""
        with self._lock:
            self._abandoned = not self._committed
            return self._abandoned

    def check(self) -> None:
        """Called by the thread when it has read some of the buffers; AbandonedError as `commit`."""
        with self._lock:
            if self._abandoned:
                raise AbandonedError

    def commit(self) -> None:
        """Called by the thread when all bytes are durable, or its own; AbandonedError when it is
        too late."""
        with self._lock:
            if self._abandoned:
                raise AbandonedError
            self._committed = True


def holds_nothing(root: str) -> bool:
    """Whether nothing is in a directory but what writes left that were cut off; blocks. OSError as
    the system gives it."""
    names = os.listdir(root)
    if names != [RESERVED]:
        return not names
    return all(map(_UPLOAD.fullmatch, os.listdir(os.path.join(root, RESERVED))))


class Uploader:
    """Writes files below `root`, an absolute path. Raises OSError as the system gives it."""

    _KNOWN: Final = 4096

    def __init__(self, root: str) -> None:
        self._root = root
        self._tmp = os.path.join(root, RESERVED)
        self._durable: set[str] = {root}

    def write(
        self, path: str, parts: Sequence[Buffer], approval: Approval, *, if_absent: bool
    ) -> None:
        """Publish the concatenation of `parts` as the file `path`, atomically and durably.

        FileExistsError with `if_absent` when there is one. Folders above it are made as needed,
        the root never.
        """
        temporary, fd = self._open_temporary()
        try:
            try:
                write_all(fd, parts)
                os.fsync(fd)
            finally:
                os.close(fd)
            approval.commit()
            self._publish(temporary, path, if_absent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def remove(self, *paths: str) -> None:
        """Remove files durably, and their folders once these are empty; what is none is fine."""
        changed = {self._unlink(path) for path in paths} - {""}
        for folder in changed:
            with contextlib.suppress(FileNotFoundError):
                sync_folder(folder)

    def _unlink(self, path: str) -> str:
        """Remove a file, and its folder if that is empty then; the folder that this changed, ""
        where there was none to remove."""
        folder = os.path.dirname(path)
        try:
            os.unlink(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return ""
        if folder != self._root:
            self._durable.discard(folder)
            with contextlib.suppress(OSError):
                os.rmdir(folder)
                folder = os.path.dirname(folder)
        return folder

    def sweep(self) -> None:
        """Remove what dead processes left behind: old temporary files that nobody holds locked."""
        if not os.path.isdir(self._tmp):
            return
        newest = time.time() - LEFTOVER_AGE
        with os.scandir(self._tmp) as entries:
            leftovers = [entry.path for entry in entries if _is_leftover(entry, newest)]
        for path in leftovers:
            log.info("removing %s, left by an interrupted write", path)
            # What belongs to another user is left to that user's own sweep.
            with contextlib.suppress(FileNotFoundError, PermissionError):
                os.unlink(path)

    def _open_temporary(self) -> tuple[str, int]:
        temporary = os.path.join(self._tmp, secrets.token_hex(16))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, 0o666)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._tmp)
            fd = os.open(temporary, flags, 0o666)
        # Holds off other processes' sweeps; some network filesystems have no locks, and there the
        # age alone decides.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return temporary, fd

    def _publish(self, temporary: str, path: str, if_absent: bool) -> None:
        folder = os.path.dirname(path)
        for _ in range(_TRIES):
            self._make_durable(folder)
            try:
                if if_absent:
                    os.link(temporary, path)
                else:
                    os.replace(temporary, path)
            except FileNotFoundError:
                # A delete removed the folder as empty just now.
                self._durable.discard(folder)
                continue
            sync_folder(folder)
            if if_absent:
                os.unlink(temporary)
            return
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), path)

    def _make_durable(self, folder: str) -> None:
        """Make `folder` and those above it; what another thread just made is fsynced here too."""
        if folder in self._durable:
            return
        above = os.path.dirname(folder)
        self._make_durable(above)
        with contextlib.suppress(FileExistsError):
            try:
                os.mkdir(folder)
            except FileNotFoundError:
                if above == self._root:
                    raise
                self._durable.discard(above)
                self._make_durable(above)
                os.mkdir(folder)
        sync_folder(above)
        if len(self._durable) >= self._KNOWN:
            self._durable = {self._root}
        self._durable.add(folder)


def write_all(fd: int, parts: Sequence[Buffer]) -> None:
    """Write all of `parts` one after another, without joining them."""
    views = [view for view in (memoryview(part).cast("B") for part in parts) if view.nbytes]
    first = 0
    while first < len(views):
        written = os.writev(fd, views[first : first + IOV_MAX])
        while first < len(views) and written >= views[first].nbytes:
            written -= views[first].nbytes
            first += 1
        if written:
            views[first] = views[first][written:]


def make_root(path: str) -> None:
    """Make a directory and those above it, durably; none is fine."""
    above = os.path.dirname(path)
    if os.path.isdir(path) or above == path:
        return
    make_root(above)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path)
    sync_folder(above)


def _is_leftover(entry: os.DirEntry[str], newest: float) -> bool:
    """Whether a temporary file is older than `newest` and no process writes it any more."""
    try:
        if not entry.is_file(follow_symlinks=False):
            return False
        if entry.stat(follow_symlinks=False).st_mtime >= newest:
            return False
        fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        os.close(fd)
    return True
