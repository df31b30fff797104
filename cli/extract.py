"""Writing stored files into a folder: `get`.

Every name of a tree is used relative to a descriptor of the folder it belongs in, and no link is
followed, so nothing outside of the destination is ever touched, whatever a tree or the destination
holds. A file appears under its name when it is complete.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio
from blake3 import blake3

from ..cas.formats.tree import Entry, EntryType
from ..errors import ExistsError
from ..ids import ObjectId
from .output import shown

if TYPE_CHECKING:
    from ..cas.reports import Progress
    from ..cas.store import Store

PIECE: Final = 8 << 20
"""Bytes read from the store and written at a time."""
_PERMISSIONS: Final = 0o777


@dataclass(slots=True)
class Extracted:
    """What was written; `unchanged` files were there already, with the same content."""

    files: int = 0
    links: int = 0
    bytes: int = 0
    unchanged: int = 0


class Extractor:
    """Writes entries of one store's trees; `force` replaces files and links that differ."""

    def __init__(self, store: "Store", progress: "Progress", *, force: bool) -> None:
        self._store = store
        self._progress = progress
        self._force = force
        self.done = Extracted()

    async def directory(self, tree: ObjectId, folder: int, where: str) -> None:
        """Write a directory's entries into the open folder `folder`; `where` names it."""
        for entry in self._store.objects.directory(tree).entries():
            await self.entry(entry, folder, entry.name, where)

    async def entry(self, entry: Entry, folder: int, name: bytes, where: str) -> None:
        """Write one entry into the open folder under `name`. ExistsError where that is taken."""
        path = f"{where}/{shown(name)}"
        if entry.type is EntryType.DIRECTORY:
            await self._subdirectory(entry, folder, name, path)
        elif entry.type is EntryType.SYMLINK:
            self._link(entry, folder, name, path)
        else:
            await self._file(entry, folder, name, path)

    async def _subdirectory(self, entry: Entry, folder: int, name: bytes, path: str) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            inner = os.open(name, flags, dir_fd=folder)
        except NotADirectoryError:
            raise ExistsError(f"{path} is there and is no directory; move it away") from None
        try:
            await self.directory(entry.object, inner, path)
            _restore(entry, inner)
        finally:
            os.close(inner)

    def _link(self, entry: Entry, folder: int, name: bytes, path: str) -> None:
        there = _lstat(folder, name)
        if there is not None:
            if stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=folder) == entry.target:
                self.done.unchanged += 1
                return
            self._check_replace(there, path)
        with _temporary(folder, name) as temporary:
            os.symlink(entry.target, temporary, dir_fd=folder)
            times = (entry.mtime_ns, entry.mtime_ns)
            os.utime(temporary, ns=times, dir_fd=folder, follow_symlinks=False)
        self.done.links += 1

    async def _file(self, entry: Entry, folder: int, name: bytes, path: str) -> None:
        there = _lstat(folder, name)
        if there is not None:
            if await trio.to_thread.run_sync(self._is_same, entry, there, folder, name):
                self.done.unchanged += 1
                self._progress.advance(entry.size, path)
                return
            self._check_replace(there, path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _temporary(folder, name) as temporary:
            fd = os.open(temporary, flags, 0o600, dir_fd=folder)
            try:
                await self._fill(entry, fd, path)
                _restore(entry, fd)
            finally:
                os.close(fd)
        self.done.files += 1
        self.done.bytes += entry.size

    async def _fill(self, entry: Entry, fd: int, path: str) -> None:
        reader = self._store.reader.open(self._store.objects.manifest(entry.object))
        with contextlib.closing(reader):
            for offset in range(0, reader.size, PIECE):
                piece = await reader.read(offset, PIECE)
                await trio.to_thread.run_sync(write_all, fd, piece)
                self._progress.advance(len(piece), path)

    def _is_same(self, entry: Entry, there: os.stat_result, folder: int, name: bytes) -> bool:
        """Whether the file there has the entry's content; then it gets its mode and time."""
        if not stat.S_ISREG(there.st_mode) or there.st_size != entry.size:
            return False
        wanted = self._store.objects.manifest(entry.object).blake3
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if _digest(fd) != wanted:
                return False
            if (there.st_mode & _PERMISSIONS, there.st_mtime_ns) != _attributes(entry):
                _restore(entry, fd)
        finally:
            os.close(fd)
        return True

    def _check_replace(self, there: os.stat_result, path: str) -> None:
        if stat.S_ISDIR(there.st_mode):
            raise ExistsError(f"{path} is there and is a directory; move it away")
        if not self._force:
            raise ExistsError(f"{path} is there and differs; --force replaces it")


def write_all(fd: int, data: memoryview | bytes) -> None:
    """Write all of `data`, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


@contextlib.contextmanager
def _temporary(folder: int, name: bytes) -> Iterator[bytes]:
    """A fresh name in `folder`; what was made under it gets the name `name` in the end."""
    temporary = f".modelfloat-{secrets.token_hex(8)}".encode()
    try:
        yield temporary
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _lstat(folder: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _attributes(entry: Entry) -> tuple[int, int]:
    return entry.mode & _PERMISSIONS, entry.mtime_ns


def _restore(entry: Entry, fd: int) -> None:
    mode, mtime_ns = _attributes(entry)
    os.fchmod(fd, mode)
    os.utime(fd, ns=(mtime_ns, mtime_ns))


def _digest(fd: int) -> bytes:
    hasher = blake3()
    while piece := os.read(fd, PIECE):
        hasher.update(piece)
    return hasher.digest()
