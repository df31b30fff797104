"""Where `get` writes: folders and files below a destination. Synchronous, for worker threads.

Every name of a tree is used relative to a descriptor of the folder it belongs in, and no link is
followed, so nothing outside of the destination is ever touched, whatever a tree or the destination
holds. A file appears under its name when it is complete; until then it lies beside it, under a
name made from its own, so that the next `get` finds what an interrupted one had written.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final

from blake3 import blake3

from ...errors import DamageError, ExistsError, LockedError, ModelFloatError
from ...ids import ChunkId
from ..formats.chunkids import ChunkIds
from ..formats.tree import Entry

PIECE: Final = 8 << 20
"""Bytes hashed at a time."""
AT_ONCE: Final = 512
"""Pieces of memory written by one call; Linux takes 1024."""
SYNCED: Final = 1 << 20
"""Longer files are durable before they have their name and time; shorter ones would take more time
to sync than to write, so what is there of them is read when it is to be believed."""
_PERMISSIONS: Final = 0o777
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without waiting for anybody, should a pipe lie there.
_OPEN_PART: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """An open folder and what is still to be written below it; `where` names it for messages.

    `entry` gives its mode and time, which are set when `pending` has come down to 0. A `fresh`
    one was made just now, so there is nothing in it.
    """

    def __init__(
        self,
        fd: int,
        where: str,
        entry: Entry | None,
        parent: "Folder | None",
        *,
        fresh: bool = False,
    ) -> None:
        self.fd = fd
        self.fresh = fresh
        self.where = where
        self.parent = parent
        self.pending = 1
        self._entry = entry

    @classmethod
    def open(cls, path: str) -> "Folder":
        """The folder `path`, made with those above it where it is not there."""
        fresh = not os.path.lexists(path)
        try:
            os.makedirs(path, exist_ok=True)
        except FileExistsError:
            raise ExistsError(f"{path} is there and is no directory; move it away") from None
        return cls(os.open(path, _OPEN_FOLDER), path.rstrip("/"), None, None, fresh=fresh)

    def path(self, name: bytes) -> str:
        """What to call `name` in this folder in a message."""
        return f"{self.where}/{os.fsdecode(name)}"

    def enter(self, entry: Entry) -> "Folder":
        """The folder of an entry, made where it is not there; ExistsError where it cannot be."""
        path = self.path(entry.name)
        try:
            os.mkdir(entry.name, 0o700, dir_fd=self.fd)
            fresh = True
        except FileExistsError:
            fresh = False
        try:
            fd = self._open_inner(entry.name)
        except NotADirectoryError:
            raise ExistsError(f"{path} is there and is no directory; move it away") from None
        return Folder(fd, path, entry, self, fresh=fresh)

    def _open_inner(self, name: bytes) -> int:
        # An earlier get may have made it read-only already.
        handle = os.open(
            name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd
        )
        try:
            mode = stat.S_IMODE(os.fstat(handle).st_mode)
            if mode & 0o700 != 0o700:
                os.chmod(f"/proc/self/fd/{handle}", mode | 0o700)
            return os.open(f"/proc/self/fd/{handle}", _OPEN_FOLDER)
        finally:
            os.close(handle)

    def status(self, name: bytes) -> os.stat_result | None:
        """What lies under `name`; None if nothing."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def link(self, name: bytes, entry: Entry) -> None:
        """Make a symbolic link, in place of what is there."""
        part = part_name(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=self.fd)
        os.symlink(entry.target, part, dir_fd=self.fd)
        times = (entry.mtime_ns, entry.mtime_ns)
        os.utime(part, ns=times, dir_fd=self.fd, follow_symlinks=False)
        os.rename(part, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def has_link(self, name: bytes, there: os.stat_result, entry: Entry) -> bool:
        """Whether what is there is the entry's link."""
        return stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=self.fd) == entry.target

    def has_file(
        self, name: bytes, there: os.stat_result, entry: Entry, digest: bytes, *, verify: bool
    ) -> bool:
        """Whether the file there is the entry's; then it gets its mode and time.

        Of a file longer than SYNCED size and time are believed, as every copying tool believes
        them, unless `verify`: it had its bytes before it had its time.
        """
        if not stat.S_ISREG(there.st_mode) or there.st_size != entry.size:
            return False
        alike = there.st_mtime_ns == entry.mtime_ns
        believed = alike and not verify and entry.size > SYNCED
        if believed and there.st_mode & _PERMISSIONS == entry.mode & _PERMISSIONS:
            return True
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        try:
            if not believed and digest_of(fd) != digest:
                return False
            _restore(entry, fd)
        finally:
            os.close(fd)
        return True

    def close(self) -> None:
        """Close it as it is, if it is still open."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def finish(self) -> None:
        """Set mode and time, now that nothing more is written in it, and close it."""
        try:
            if self._entry is not None:
                _restore(self._entry, self.fd)
        finally:
            self.close()


class Part:
    """A file being written under a name of its own, locked. `had` bytes lay there already."""

    def __init__(self, folder: Folder, name: bytes, entry: Entry) -> None:
        self._folder = folder
        self._name = name
        self._entry = entry
        self._part = part_name(name)
        while not self._open():
            pass

    def _open(self) -> bool:
        """Open and lock it; False where another get gave it its final name meanwhile."""
        self.fd = os.open(self._part, _OPEN_PART, 0o600, dir_fd=self._folder.fd)
        try:
            self.had = self._take()
            there = self._folder.status(self._part)
            if there is not None and os.path.samestat(there, os.fstat(self.fd)):
                return True
        except BaseException:
            os.close(self.fd)
            raise
        os.close(self.fd)
        return False

    def _take(self) -> int:
        path = self._folder.path(self._part)
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            raise ExistsError(f"{path} is there and is no file; move it away")
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError(f"{path} is being written by another get; wait for it") from None
        return os.fstat(self.fd).st_size

    def holds(self, offset: int, size: int, chunk: ChunkId, ids: ChunkIds) -> bool:
        """Whether the bytes [offset, offset+size) are there already: a chunk, as `ids` names it."""
        data = os.pread(self.fd, size, offset)
        return len(data) == size and ids.of(data) == chunk

    def write(self, offset: int, parts: list[memoryview]) -> None:
        """Write all bytes of `parts`, end to end, from `offset` on."""
        rest = list(parts)
        while rest:
            done = os.pwritev(self.fd, rest[:AT_ONCE], offset)
            offset += done
            _take_off(rest, done)

    def publish(self, digest: bytes | None) -> None:
        """Give it its size, mode, time and name. With `digest` it is first made durable and read
        back: DamageError where it is not what was written."""
        os.ftruncate(self.fd, self._entry.size)
        if digest is not None or self._entry.size > SYNCED:
            os.fsync(self.fd)
        if digest is not None:
            # What is read back must come from the disk.
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if digest_of(self.fd) != digest:
                raise DamageError(
                    f"{self._folder.path(self._name)} reads back otherwise than it was written; "
                    "check the disk it lies on"
                )
        _restore(self._entry, self.fd)
        os.rename(self._part, self._name, src_dir_fd=self._folder.fd, dst_dir_fd=self._folder.fd)
        if digest is not None:
            os.fsync(self._folder.fd)

    def close(self) -> None:
        """Close it; unless it was published, what was written stays for the next get."""
        os.close(self.fd)

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part, dir_fd=self._folder.fd)


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """The system's errors in a line with the file's name."""
    try:
        yield
    except OSError as error:
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "; free some space and run it again: what is written is not fetched again"
        raise ModelFloatError(f"{path}: {error.strerror}{hint}") from error


def part_name(name: bytes) -> bytes:
    """Under what name a file is written until it is complete."""
    return b".modelfloat-" + blake3(name).hexdigest(length=8).encode()


def digest_of(fd: int) -> bytes:
    """The BLAKE3 of a file's bytes."""
    hasher = blake3()
    offset = 0
    while piece := os.pread(fd, PIECE, offset):
        hasher.update(piece)
        offset += len(piece)
    return hasher.digest()


def write_all(fd: int, parts: Sequence[memoryview]) -> None:
    """Write all bytes of `parts`, end to end, to what has no offsets, as a pipe."""
    rest = list(parts)
    while rest:
        _take_off(rest, os.writev(fd, rest[:AT_ONCE]))


def _take_off(rest: list[memoryview], done: int) -> None:
    """Leave of `rest` what follows its first `done` bytes; parts without any go too."""
    count = 0
    while count < len(rest) and done >= len(rest[count]):
        done -= len(rest[count])
        count += 1
    del rest[:count]
    if done:
        rest[0] = rest[0][done:]


def _restore(entry: Entry, fd: int) -> None:
    os.fchmod(fd, entry.mode & _PERMISSIONS)
    os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
