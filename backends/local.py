"""A directory as a backend: one file a key, under the directory it is told and nowhere else.

The root is never made but by `create`, and it is recognised by device and inode: when the disk was
unmounted, the empty folder left in its place is UnavailableError, never a lack of keys, and nothing
is written there. A root that appears later, or another time, counts once the marker lies in it.

Concurrency: each call is one hop to a worker thread, under a limiter of this backend's own, and is
abandoned on cancellation, so a hung disk holds neither other backends nor the shutdown. A thread
that hangs has its place given away (`threads`). Shared between threads: `_identity` (one
assignment) and the `Uploader`.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

import trio

from ..errors import DeniedError, KeyExistsError, UnavailableError, UsageError
from ..ids import Key
from ..redaction import redact
from .base import Buffer, Listed, Properties, Usage
from .device import device_domain, filesystem_of
from .fetch import rest, short
from .keys import MARKER_KEY, check_key, check_prefix
from .oserrors import MISSING, translate
from .threads import Threads
from .upload import Approval, Uploader, make_root
from .walk import Walk

THREADS: Final = 8
"""Calls that run at once."""
# Without waiting for a writer, should somebody have put a FIFO there.
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK

T = TypeVar("T")


class LocalBackend:
    """Keys as files below the directory `root`; see `Backend` for the methods.

    `domain` is the device under `root` when None. Opening touches the disk with one or two stat
    calls and never fails for a directory that is not there: every call then says so.
    """

    def __init__(
        self, name: str, root: str, *, domain: str | None = None, concurrency: int = THREADS
    ) -> None:
        self.name = name
        self._root = os.path.abspath(root)
        self._identity = _identity_of(self._root)
        self._uploader = Uploader(self._root)
        self._sweep = threading.Lock()
        self._threads = Threads(concurrency)
        self.properties = Properties(
            url=self._root,
            domain=domain if domain is not None else device_domain(self._root),
            conditional_put=True,
            concurrency=concurrency,
            latency=0.001,
        )

    @classmethod
    def create(
        cls, name: str, root: str, *, domain: str | None = None, concurrency: int = THREADS
    ) -> "LocalBackend":
        """Open the directory `root`, made durably if it is not there."""
        try:
            make_root(os.path.abspath(root))
        except OSError as error:
            raise translate(error, name, "") from error
        return cls(name, root, domain=domain, concurrency=concurrency)

    @classmethod
    def from_url(cls, name: str, url: str, *, domain: str | None, create: bool) -> "LocalBackend":
        """Open a plain path or a `file://` URL; UsageError when it names another host."""
        path = url
        if url[:7].lower() == "file://":
            host, path = _split(url)
            if host not in ("", "localhost"):
                raise UsageError(
                    f"backend {name}: {redact(url)} is not on this host; mount it first"
                )
        if not path or "\0" in path:
            raise UsageError(f"backend {name}: {redact(url)!r} names no directory")
        return (cls.create if create else cls)(name, path, domain=domain)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`. A cancelled one that is not yet published never will be."""
        check_key(key)
        await self._threads.room()
        approval = Approval()
        try:
            await self._run(key, lambda: self._put(key, parts, approval, if_absent), holds=True)
        except trio.Cancelled:
            approval.abandon()
            raise

    async def get_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Backend.get_into`."""
        check_key(key)
        _check_offset(key, offset)
        await self._run(key, lambda: self._read_into(key, offset, buffer.cast("B")))

    @property
    def direct(self) -> "LocalBackend":
        """See `backends.direct`."""
        return self

    def read_now(self, key: Key, offset: int, buffer: memoryview) -> None:
        """See `Direct.read_now`."""
        check_key(key)
        _check_offset(key, offset)
        self._guard(key, lambda: self._read_into(key, offset, buffer))

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        check_key(key)
        _check_offset(key, offset)
        return await self._run(key, lambda: self._read(key, offset, size, most))

    async def head(self, key: Key) -> int:
        """See `Backend.head`."""
        check_key(key)
        return await self._run(key, lambda: self._size(key))

    async def age(self, key: Key) -> float:
        """See `Backend.age`; what was written in the future, by a clock set back, is new."""
        check_key(key)
        return await self._run(key, lambda: self._age(key))

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        check_key(key)
        await self._run(key, lambda: self._delete(key))

    @property
    def bulk(self) -> "LocalBackend":
        """See `bulk`."""
        return self

    async def delete_many(self, keys: Sequence[Key]) -> None:
        """See `Bulk.delete_many`."""
        for key in keys:
            check_key(key)
        await self._run(keys[0], lambda: self._delete_many(keys))

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        walk = Walk(self._root, check_prefix(prefix))
        await self._run("", self._check_root)
        while batch := await self._run("", walk.next_batch):
            for listed in batch:
                yield listed

    async def usage(self) -> Usage:
        """See `Backend.usage`; free is what this user may still write."""
        return await self._run("", self._usage)

    async def aclose(self) -> None:
        """Nothing is held open between calls."""
        await trio.lowlevel.checkpoint()

    async def _run(self, key: str, function: Callable[[], T], *, holds: bool = False) -> T:
        return await self._threads.run(lambda: self._guard(key, function), holds=holds)

    # From here on everything runs in worker threads.

    def _guard(self, key: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except OSError as error:
            if error.errno in MISSING:
                self._check_root()
            raise translate(error, self.name, key) from error

    def _check_root(self) -> None:
        """UnavailableError unless the root is there and the one we know."""
        found = _identity_of(self._root)
        if found is not None and found == self._identity:
            return
        if found is None or not os.path.isfile(self._path(MARKER_KEY)):
            raise UnavailableError(
                f"backend {self.name}: the directory {self._root} is "
                + ("gone" if found is None else "not the one it was")
                + "; is the disk mounted?",
                backend=self.name,
            )
        self._identity = found

    def _path(self, key: Key) -> str:
        return f"{self._root}/{key}"

    def _put(self, key: Key, parts: Sequence[Buffer], approval: Approval, if_absent: bool) -> None:
        self._check_root()
        # Only the first write of this backend sweeps, and the lock is never given back.
        if self._sweep.acquire(blocking=False):
            self._uploader.sweep()
        try:
            self._uploader.write(self._path(key), parts, approval, if_absent=if_absent)
        except FileExistsError:
            raise KeyExistsError(
                f"backend {self.name}: {key} is there already", backend=self.name, key=key
            ) from None
        except (NotADirectoryError, IsADirectoryError):
            self._check_root()
            raise DeniedError(
                f"backend {self.name}: {key} is in the way of a folder, or a folder of it; "
                "look what lies there",
                backend=self.name,
                key=key,
            ) from None

    def _read_into(self, key: Key, offset: int, buffer: memoryview) -> None:
        fd, size = self._open(key)
        try:
            if offset + len(buffer) > size:
                raise short(self.name, key, offset + len(buffer), size)
            done = 0
            while done < len(buffer):
                count = os.preadv(fd, [buffer[done:]], offset + done)
                if count == 0:
                    raise short(self.name, key, offset + len(buffer), offset + done)
                done += count
        finally:
            os.close(fd)

    def _read(self, key: Key, offset: int, size: int | None, most: int | None) -> bytes:
        fd, length = self._open(key)
        try:
            wanted = rest(self.name, key, length, offset, most) if size is None else size
            if wanted > length - offset:
                raise short(self.name, key, offset + wanted, length)
            data = os.pread(fd, wanted, offset)
            while len(data) < wanted:
                more = os.pread(fd, wanted - len(data), offset + len(data))
                if not more:
                    raise short(self.name, key, offset + wanted, offset + len(data))
                data += more
            return data
        finally:
            os.close(fd)

    def _open(self, key: Key) -> tuple[int, int]:
        """A descriptor for reading a key, and the key's size in bytes."""
        fd = os.open(self._path(key), _READ)
        try:
            return fd, _size_of(os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise

    def _size(self, key: Key) -> int:
        return _size_of(os.stat(self._path(key)))

    def _age(self, key: Key) -> float:
        found = os.stat(self._path(key))
        _size_of(found)
        return max(0.0, time.time() - found.st_mtime)

    def _delete(self, key: Key) -> None:
        self._check_root()
        self._uploader.remove(self._path(key))

    def _delete_many(self, keys: Sequence[Key]) -> None:
        self._check_root()
        self._uploader.remove(*map(self._path, keys))

    def _usage(self) -> Usage:
        self._check_root()
        found = os.statvfs(self._root)
        return Usage(
            free=found.f_bavail * found.f_frsize,
            total=found.f_blocks * found.f_frsize,
            space=filesystem_of(self._root),
        )


def _identity_of(path: str) -> tuple[int, int] | None:
    """Device and inode of a directory; None when there is none, or it cannot be reached now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _size_of(found: os.stat_result) -> int:
    if not stat.S_ISREG(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return found.st_size


def _check_offset(key: Key, offset: int) -> None:
    if offset < 0:
        raise ValueError(f"offset {offset} of {key} is negative")


def _split(url: str) -> tuple[str, str]:
    """Host and path of a `file://` URL; no path where it is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote user information
        return "", ""
    return parts.netloc, unquote(parts.path)
