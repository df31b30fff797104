"""One file of the disk cache: a sparse file of the same length, and a map of what of it is there.

Concurrency: every method but `has` and the properties may block, and runs in worker threads; any
number of threads and processes use one file at once. Whoever writes a chunk writes the same bytes,
for they verified; whoever reads one verifies it again: so the worst that a race or a crash does is
that a chunk is fetched once more. The bits in memory change under `_lock`, and nothing is read or
written while it is held. A call under way keeps the descriptor open, whoever closes the file.

Order: bytes, then fsync, then the map. While a file is open here it is locked (shared), and nobody
who makes room deletes it.
"""

import contextlib
import errno
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from blake3 import blake3

from ...ids import ChunkId
from ..buffers import BufferPool
from ..chunking.regions import MAX_CHUNK
from ..formats.cachemap import MapHead, Seal
from ..zeros import zero_id
from .mapfile import MapFile

DATA: Final = ".data"
MAP: Final = ".map"

log = logging.getLogger(__name__)

_scratch: Final = BufferPool(MAX_CHUNK, 2)


class Piece(Protocol):
    """A chunk of a file: its number, its first byte in the file, its length, its id."""

    @property
    def number(self) -> int:
        """From 0 on."""
        ...

    @property
    def offset(self) -> int:
        """Bytes."""
        ...

    @property
    def raw(self) -> int:
        """Bytes."""
        ...

    @property
    def id(self) -> ChunkId:
        """The BLAKE3 of its bytes."""
        ...


class Descriptor:
    """An open file, closed when nobody refers to it any more: so no call ever meets a number that
    has become another file's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class CachedFile:
    """What is on this disk of one stored file. `open_cached` opens it; `close` it."""

    def __init__(self, data: Descriptor, head: MapHead, map_: MapFile) -> None:
        self._data: Descriptor | None = data
        self._head = head
        self._map = map_
        self._lock = threading.Lock()
        self._flushes = threading.Lock()
        self._present = map_.load()
        self._missing = self._present.count(0)
        # Put, but not durable yet; being made durable; damaged, which the map does not say yet; and
        # of which it is being told.
        self._fresh: set[int] = set()
        self._syncing: set[int] = set()
        self._dropped: set[int] = set()
        self._telling: set[int] = set()
        # Counts up with what makes outdated a map that is being loaded, or a file being read back.
        self._turn = 0
        self._seal = map_.seal()
        self._reserved = False

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        return self._head.size

    @property
    def empty(self) -> bool:
        """Whether no chunk is there."""
        return self._missing == self._head.chunks

    @property
    def missing(self) -> int:
        """Chunks that are not there."""
        return self._missing

    @property
    def complete(self) -> bool:
        """Whether every chunk is there. Only a sealed file may be read without verifying it."""
        return self._missing == 0

    @property
    def unreserved(self) -> int:
        """Bytes that its map takes besides, as of the next chunk that is put."""
        return 0 if self._reserved else self._head.length

    @property
    def changed(self) -> bool:
        """Whether the map does not say yet what is known here."""
        return bool(self._fresh or self._dropped)

    def has(self, first: int, count: int = 1) -> bool:
        """Whether all of so many chunks, from number `first` on, are there."""
        return self._present.find(0, first, first + count) < 0

    def read(self, pieces: Sequence[Piece], buffer: memoryview) -> list[bool]:
        """Fill `buffer` with chunks, end to end; which of them are there and verify.

        Of the others arbitrary bytes are left in their place. One that is damaged is dropped.
        """
        data, found, at = self._data, [], 0
        for piece in pieces:
            found.append(data is not None and self._read(data, piece, buffer[at : at + piece.raw]))
            at += piece.raw
        return found

    def _read(self, data: Descriptor, piece: Piece, part: memoryview) -> bool:
        if not self._present[piece.number]:
            return False
        try:
            if _fill(data.fd, part, piece.offset) and blake3(part).digest() == piece.id:
                return True
            why = "is damaged"
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        log.info("%s: chunk %d %s, and is fetched again", self._map.path, piece.number, why)
        self._drop([piece.number])
        with contextlib.suppress(OSError):
            os.utime(data.fd)  # which breaks the seal, also where the map cannot be told
        return False

    def put(self, piece: Piece, chunk: memoryview) -> bool:
        """Write the verified bytes of a chunk; False where they are there. OSError as of a disk.

        They can be read at once; after the next `flush` also after a crash, and by others.
        """
        if self._present[piece.number]:
            return False
        data = self._open()
        if not self._reserved:
            self._map.reserve()
            self._reserved = True
        # Of zeros a hole is as good, and takes no room.
        if piece.id != zero_id(piece.raw) or not _is_hole(data.fd, piece):
            _write(data.fd, chunk, piece.offset)
        with self._lock:
            self._fresh.add(piece.number)
            self._mark([piece.number])
        return True

    def flush(self) -> None:
        """Make durable what was put, then say so in the map. OSError where the disk fails: then
        none of it counts."""
        with self._flushes:
            self._flush(self._open())

    def _flush(self, data: Descriptor) -> None:
        with self._lock:
            self._syncing, self._fresh = self._fresh, set()
            self._telling, self._dropped = self._dropped, set()
        try:
            if self._syncing:
                os.fdatasync(data.fd)
            if self._syncing or self._telling:
                self._map.change(self._syncing, self._telling)
        except BaseException:
            self._drop([*self._syncing, *self._telling])
            raise
        finally:
            with self._lock:
                self._turn += bool(self._telling)
                self._syncing, self._telling = set(), set()

    def refresh(self) -> None:
        """Take over what other processes have put meanwhile.

        What was loaded while a chunk was dropped here may still tell of that chunk, and of a seal:
        then it is left for next time.
        """
        turn = self._turn
        there, seal = self._map.load(), self._map.seal()
        with self._lock:
            if self._turn != turn:
                return
            damaged = self._dropped | self._telling
            new = np.frombuffer(there, np.uint8) > np.frombuffer(self._present, np.uint8)
            self._mark(n for n in np.flatnonzero(new).tolist() if n not in damaged)
            if not damaged:
                self._seal = seal

    def _mark(self, numbers: Iterable[int]) -> None:
        """With the lock held: these chunks are there."""
        for number in numbers:
            self._missing -= not self._present[number]
            self._present[number] = 1

    def _drop(self, numbers: Iterable[int]) -> None:
        with self._lock:
            self._seal = None
            self._turn += 1
            for number in numbers:
                self._missing += self._present[number]
                self._present[number] = 0
                self._fresh.discard(number)
                self._dropped.add(number)

    def seal(self, pieces: Iterable[Piece], check: Callable[[], object] = lambda: None) -> bool:
        """Read a complete file back from its disk, and seal it if every chunk verifies and nobody
        writes to it; whether it is sealed now.

        `pieces` are all of its chunks, in order; `check` is called at each, and may raise. OSError
        as of a disk.
        """
        if self.sealed or not self.complete:
            return self.sealed
        data = self._open()
        self.flush()
        os.fsync(data.fd)
        # Else what verifies is the memory that the bytes were written to.
        os.posix_fadvise(data.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        turn, before = self._turn, seal_of(data.fd)
        if self._verifies(data, pieces, check) and seal_of(data.fd) == before:
            self._set_seal(before, turn)
        return self.sealed

    def _set_seal(self, seal: Seal, turn: int) -> None:
        """Unless a chunk was dropped since `turn`. Who drops one later takes the seal off again."""
        with self._flushes:
            if self._turn == turn:
                self._map.set_seal(seal)
            with self._lock:
                if self._turn == turn:
                    self._seal = seal
                    self._turn += 1

    def _verifies(
        self, data: Descriptor, pieces: Iterable[Piece], check: Callable[[], object]
    ) -> bool:
        buffer, end, sound = _scratch.take(), 0, True
        for piece in pieces:
            check()
            sound &= piece.offset == end and self._read(data, piece, buffer[: piece.raw])
            end = piece.offset + piece.raw
        return sound and end == self.size

    @property
    def sealed(self) -> bool:
        """Whether all of it was read back and verified, and it was not touched since."""
        data, seal = self._data, self._seal
        return data is not None and seal is not None and seal == seal_of(data.fd)

    def backing(self) -> int | None:
        """A descriptor of the whole file, if every byte of it was read back and verified.

        It belongs to this object, and is valid until `close`.
        """
        data = self._data
        return data.fd if data is not None and self.complete and self.sealed else None

    @property
    def gone(self) -> bool:
        """Whether somebody deleted it: what is put would take room that nobody finds again."""
        return self._data is None or os.fstat(self._data.fd).st_nlink == 0

    def touch(self) -> None:
        """Note that it was used just now."""
        self._map.touch()

    def close(self) -> None:
        """Let go of it. What was not flushed is fetched again some day."""
        self._data = None

    def _open(self) -> Descriptor:
        if self._data is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._data


def open_cached(folder: str, head: MapHead) -> CachedFile | None:
    """The cached file of `head` in a folder, made if it is not there; None while it is being
    deleted. OSError, or FormatError where its map is a newer release's."""
    path = os.path.join(folder, cached_name(head))
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    data = Descriptor(os.open(path + DATA, flags, 0o600))
    if not _take(data.fd, path + DATA):
        return None
    if os.fstat(data.fd).st_size != head.size:
        os.ftruncate(data.fd, head.size)
    return CachedFile(data, head, MapFile(path + MAP, head))


def cached_name(head: MapHead) -> str:
    """What the files of a cached file are called, but for their endings."""
    return f"{head.blake3.hex()}-{head.cut[:8].hex()}"


def seal_of(fd: int) -> Seal:
    """What a seal of a file would say now."""
    found = os.fstat(fd)
    return Seal(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _take(fd: int, path: str) -> bool:
    """Lock a file against deletion; False where it is being deleted, or was."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(fd), os.lstat(path))
    return False


def _fill(fd: int, buffer: memoryview, offset: int) -> bool:
    done = 0
    while done < len(buffer):
        count = os.preadv(fd, [buffer[done:]], offset + done)
        if not count:
            return False
        done += count
    return True


def _write(fd: int, data: memoryview, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], offset + done)


def _is_hole(fd: int, piece: Piece) -> bool:
    """Whether nothing was written where a chunk belongs; False where that cannot be told."""
    try:
        return os.lseek(fd, piece.offset, os.SEEK_DATA) >= piece.offset + piece.raw
    except OSError as error:
        return error.errno == errno.ENXIO
