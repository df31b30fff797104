"""The folder that a store's disk cache lies in: whose it is, what is in it, what goes.

Nothing in it is touched but files of our names. Who deletes one locks it alone, so what is open in
any process stays; the map goes first, for bytes without a map are nothing, and a map without bytes
would promise what is not there.

Synchronous; for worker threads.
"""

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ...errors import UnsupportedError
from ...ids import StoreId
from ..index.networkfs import filesystem_type, is_network
from ..storeowner import make_folder
from .datafile import DATA
from .mapfile import MAP

_NAME: Final = re.compile(r"([0-9a-f]{64}-[0-9a-f]{16})(?:\.data|\.map)")
_BLOCK: Final = 512


@dataclass(slots=True)
class CacheEntry:
    """One cached file: bytes that it takes on the disk, and when it was last used (seconds)."""

    name: str
    size: int = 0
    used: float = 0.0


class CacheFolder:
    """This user's cache of store `store` in `parent`, which other stores and users may use too."""

    def __init__(self, parent: str, store: StoreId) -> None:
        self._parent = os.path.abspath(parent)
        self.path = os.path.join(self._parent, f"{store.hex()}-{os.geteuid()}")
        self._device: int | None = None

    def make(self) -> None:
        """Have it there, and ours alone; UnsupportedError where it cannot be so.

        Whoever else could write there could have a sealed file say what was never stored.
        """
        try:
            reason = self._make()
        except OSError as error:
            reason = os.strerror(error.errno or 0)
        if reason:
            raise UnsupportedError(
                f"the disk cache cannot be kept in {self.path}: {reason}; name another folder with "
                "--cache, or keep none: --cache-size 0"
            )

    def _make(self) -> str:
        """What is wrong with it, "" if nothing."""
        if self._device is not None and _device_below(self._parent) != self._device:
            return "the disk that it was on is gone"
        _make_above(self._parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        found = os.lstat(self.path)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return "it is not this user's folder"
        if found.st_mode & 0o077:
            os.chmod(self.path, 0o700)
        if self._device is None and is_network(filesystem_type(self.path)):
            return "it is on a network filesystem"
        self._device = found.st_dev
        return ""

    def entries(self) -> list[CacheEntry]:
        """What is in it, that which was used longest ago first; nothing where it is not there."""
        found: dict[str, CacheEntry] = {}
        for name, status in self._files():
            entry = found.setdefault(name[:81], CacheEntry(name[:81]))
            entry.size += status.st_blocks * _BLOCK
            if name.endswith(MAP):
                entry.used = status.st_mtime
        return sorted(found.values(), key=lambda entry: entry.used)

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        try:
            with os.scandir(self.path) as listing:
                for file in listing:
                    if _NAME.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            yield file.name, file.stat(follow_symlinks=False)
        except FileNotFoundError:
            return

    def remove(self, name: str) -> bool:
        """Delete a cached file; False where somebody uses it. OSError as of a disk."""
        path = os.path.join(self.path, name)
        with contextlib.suppress(FileNotFoundError):
            fd = os.open(path + DATA, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for ending in (MAP, DATA):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(path + ending)
            except BlockingIOError:
                return False
            finally:
                os.close(fd)
        # A map alone is left where a deletion was interrupted by a stranger.
        if not os.path.lexists(path + DATA):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + MAP)
        return True

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether this process is the one that makes room now; others need not, meanwhile."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)

    def space(self) -> tuple[int, int]:
        """Bytes free for this user on its disk, and the disk's size."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def _make_above(path: str) -> None:
    """Have the folder `path`. What root makes of it in another user's folder is that user's."""
    if not os.path.isdir(path):
        above = os.path.dirname(path)
        _make_above(above)
        os.close(make_folder(path, above))


def _device_below(path: str) -> int:
    """The device that `path` is on, or would be made on."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_dev
