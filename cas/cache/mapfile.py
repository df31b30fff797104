"""The map of one cached file on its disk: read whole, changed page by page.

Several processes change one map: each change reads the page, changes it and writes it to the other
slot under a lock on the file. The lock is held for a few small reads and writes only; still nobody
waits for it for ever, for who holds it may have been stopped.

Synchronous; for worker threads.
"""

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Collection, Iterator
from typing import Final

import numpy as np

from ...errors import ChunkDamagedError
from ..formats.cachemap import (
    PAGE_BITS,
    SEAL_PAGE,
    SLOT,
    MapHead,
    Seal,
    Slot,
    decode_head,
    decode_page,
    decode_seal,
    encode_head,
    encode_seal,
    encode_slot,
    slot_offset,
)

MAP: Final = ".map"
PATIENCE: Final = 2.0
"""Seconds for which a change waits for others'."""
_RETRY: Final = 0.02

log = logging.getLogger(__name__)


class MapFile:
    """The map at `path` of the file that `head` tells of."""

    def __init__(self, path: str, head: MapHead) -> None:
        self.path = path
        self._head = head

    def load(self) -> bytearray:
        """One byte a chunk: 1 where it is there. OSError, or FormatError for a newer release's."""
        data = self._data(self._head.length)
        present = bytearray(self._head.chunks)
        if not self._is_ours(data):
            return present
        for page in range(1, self._head.pages):
            first = (page - 1) * PAGE_BITS
            bits = np.frombuffer(self._page(data, page).body, np.uint8)
            count = min(PAGE_BITS, self._head.chunks - first)
            flags = np.unpackbits(bits, count=count, bitorder="little")
            present[first : first + count] = flags.tobytes()
        return present

    def seal(self) -> Seal | None:
        """Its seal, as it stands now."""
        data = self._data(3 * SLOT)
        return decode_seal(self._page(data, SEAL_PAGE).body) if self._is_ours(data) else None

    def change(self, add: Collection[int], drop: Collection[int] = ()) -> None:
        """Note chunks as there, whose bytes MUST be durable, and others as not there."""
        pages = {1 + number // PAGE_BITS for number in (*add, *drop)}
        with self._open(write=True) as fd:
            if drop:
                self._write(fd, SEAL_PAGE, encode_seal(None))
            for page in sorted(pages):
                first = (page - 1) * PAGE_BITS
                bits = np.frombuffer(self._read(fd, page).body, np.uint8)
                flags = np.unpackbits(bits, bitorder="little")
                for value, numbers in ((0, drop), (1, add)):
                    here = [n - first for n in numbers if 0 <= n - first < PAGE_BITS]
                    flags[here] = value
                self._write(fd, page, np.packbits(flags, bitorder="little").tobytes())

    def set_seal(self, seal: Seal | None) -> None:
        """Seal the file, or with None take its seal off."""
        with self._open(write=True) as fd:
            self._write(fd, SEAL_PAGE, encode_seal(seal))

    def reserve(self) -> None:
        """Have room for all of it, as long as there is any: what filled the disk could not be noted
        else, and would be of no use to anybody."""
        with self._open(write=True) as fd:
            os.posix_fallocate(fd, 0, self._head.length)

    def touch(self) -> None:
        """Have its mtime say that the file is used now; of no map there is nothing to say."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self.path, follow_symlinks=False)

    def _data(self, size: int) -> bytes:
        """The first bytes of the map; none where there is no map yet."""
        try:
            with self._open(write=False) as fd:
                return os.pread(fd, size, 0)
        except FileNotFoundError:
            return b""

    def _is_ours(self, data: bytes) -> bool:
        try:
            return decode_head(data) == self._head
        except ChunkDamagedError:
            if data:
                log.info(
                    "%s is no map, or a damaged one: what it told of is fetched again", self.path
                )
            return False

    def _page(self, data: bytes, page: int) -> Slot:
        at = slot_offset(page, 0)
        return decode_page(self._head, page, data[at : at + 2 * SLOT])

    def _read(self, fd: int, page: int) -> Slot:
        return decode_page(self._head, page, os.pread(fd, 2 * SLOT, slot_offset(page, 0)))

    def _write(self, fd: int, page: int, body: bytes) -> None:
        sequence = self._read(fd, page).sequence + 1
        data = encode_slot(self._head, Slot(page, sequence, body))
        os.pwrite(fd, data, slot_offset(page, sequence))

    @contextlib.contextmanager
    def _open(self, *, write: bool) -> Iterator[int]:
        """The map's file, locked; for writing it is made, and begins as it must."""
        flags = os.O_RDWR | os.O_CREAT if write else os.O_RDONLY
        fd = os.open(self.path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _lock(fd, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
            if write and not self._is_ours(os.pread(fd, SLOT, 0)):
                os.ftruncate(fd, 0)
                os.pwrite(fd, encode_head(self._head), 0)
            yield fd
        finally:
            os.close(fd)


def _lock(fd: int, how: int) -> None:
    """Lock a file; BlockingIOError where somebody keeps it from us."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(_RETRY)
        else:
            return
