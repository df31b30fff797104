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
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ..buffers import BufferPool
from ..chunking.regions import MAX_CHUNK
from ..formats.cachemap import MapHead, Seal
from ..formats.chunkids import PLAIN, ChunkIds
from ..zeros import zero_id
from .datafile import (
    DATA,
    Descriptor,
    Piece,
    cached_name,
    fill,
    is_hole,
    open_data,
    seal_of,
    write,
)
from .known import Known
from .mapfile import MAP, MapFile

log = logging.getLogger(__name__)

_scratch: Final = BufferPool(MAX_CHUNK, 2)


class CachedFile:
    """What is on this disk of one stored file. `open_cached` opens it; `close` it."""

    def __init__(
        self, data: Descriptor, head: MapHead, map_: MapFile, ids: ChunkIds = PLAIN
    ) -> None:
        self._ids = ids
        self._data: Descriptor | None = data
        self._head = head
        self._map = map_
        self._flushes = threading.Lock()
        self._known = Known(map_.load(), map_.seal())
        self._reserved = False

    @property
    def size(self) -> int:
        """The file's length in bytes."""
        return self._head.size

    @property
    def empty(self) -> bool:
        """Whether no chunk is there."""
        return self._known.missing == self._head.chunks

    @property
    def missing(self) -> int:
        """Chunks that are not there."""
        return self._known.missing

    @property
    def complete(self) -> bool:
        """Whether every chunk is there. Only a sealed file may be read without verifying it."""
        return self._known.missing == 0

    @property
    def unreserved(self) -> int:
        """Bytes that its map takes besides, as of the next chunk that is put."""
        return 0 if self._reserved else self._head.length

    @property
    def changed(self) -> bool:
        """Whether the map does not say yet what is known here."""
        return self._known.changed

    def has(self, first: int, count: int = 1) -> bool:
        """Whether all of so many chunks, from number `first` on, are there."""
        return self._known.has(first, count)

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
        if not self._known.has(piece.number):
            return False
        try:
            if fill(data.fd, part, piece.offset) and self._ids.of(part) == piece.id:
                return True
            why = "is damaged"
        except OSError as error:
            why = f"cannot be read: {error.strerror}"
        log.info("%s: chunk %d %s, and is fetched again", self._map.path, piece.number, why)
        self._known.drop([piece.number])
        with contextlib.suppress(OSError):
            os.utime(data.fd)  # which breaks the seal, also where the map cannot be told
        return False

    def put(self, piece: Piece, chunk: memoryview) -> bool:
        """Write the verified bytes of a chunk; False where they are there. OSError as of a disk.

        They can be read at once; after the next `flush` also after a crash, and by others.
        """
        if self._known.has(piece.number):
            return False
        data = self._open()
        if not self._reserved:
            self._map.reserve()
            self._reserved = True
        # Of zeros a hole is as good, and takes no room.
        if piece.id != zero_id(piece.raw, self._ids) or not is_hole(data.fd, piece):
            write(data.fd, chunk, piece.offset)
        self._known.put(piece.number)
        return True

    def flush(self) -> None:
        """Make durable what was put, then say so in the map. OSError where the disk fails: then
        none of it counts."""
        with self._flushes:
            self._flush(self._open())

    def _flush(self, data: Descriptor) -> None:
        fresh, dropped = self._known.tell()
        try:
            if fresh:
                os.fdatasync(data.fd)
            if fresh or dropped:
                self._map.change(fresh, dropped)
        except BaseException:
            self._known.drop([*fresh, *dropped])
            raise
        finally:
            self._known.told()

    def refresh(self) -> None:
        """Take over what other processes have put meanwhile."""
        turn = self._known.turn
        self._known.learn(self._map.load(), self._map.seal(), turn)

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
        turn, before = self._known.turn, seal_of(data.fd)
        if self._verifies(data, pieces, check) and seal_of(data.fd) == before:
            self._set_seal(before, turn)
        return self.sealed

    def _set_seal(self, seal: Seal, turn: int) -> None:
        """Unless a chunk was dropped since `turn`. Who drops one later takes the seal off again."""
        with self._flushes:
            if self._known.turn == turn:
                self._map.set_seal(seal)
            self._known.sealed(seal, turn)

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
        data, seal = self._data, self._known.seal
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


def open_cached(folder: str, head: MapHead, ids: ChunkIds = PLAIN) -> CachedFile | None:
    """The cached file of `head` in a folder, made if it is not there; None while it is being
    deleted. `ids` names the store's chunks.

    OSError, or FormatError where its map is a newer release's.
    """
    path = os.path.join(folder, cached_name(head))
    data = open_data(path + DATA, head.size)
    return None if data is None else CachedFile(data, head, MapFile(path + MAP, head), ids)
