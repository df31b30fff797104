"""How much the disk cache may take: its own limit, and what must stay free on its disk.

Room is made by deleting whole files, that first which was used longest ago; never one that is open
in some process, for its blocks would come free only when it is closed. So a file that is larger
than the cache keeps what fits, rather than chasing itself through it.

All processes of a store share the folder, and each looks at all of it before it writes
GRAIN bytes more; so the limit may be passed by as much for each of them.

Any thread may ask. Blocks.
"""

import logging
import threading
import time
from typing import Final

from .folder import CacheEntry, CacheFolder
from .options import KEEP_FREE, SHARE, CacheOptions

GRAIN: Final = 64 << 20
"""Bytes after which the folder is looked at again, at the latest."""
PAUSE: Final = 10.0
"""Seconds for which nothing is asked again after there was no room."""
SPARE: Final = 20
"""When room is made, then this part of the limit."""

log = logging.getLogger(__name__)


class Quota:
    """Says whether so many bytes more may be written, and makes room for them."""

    def __init__(self, folder: CacheFolder, options: CacheOptions) -> None:
        self._folder = folder
        self._options = options
        self._lock = threading.Lock()
        self._granted = 0
        self._closed_until = 0.0
        self._told = False

    def admit(self, size: int) -> bool:
        """Whether `size` bytes may be written now. OSError as of a disk."""
        with self._lock:
            if size <= self._granted:
                self._granted -= size
                return True
            if self.closed:
                return False
            return self._survey(size)

    @property
    def closed(self) -> bool:
        """Whether there was no room a moment ago."""
        return time.monotonic() < self._closed_until

    def close(self) -> None:
        """The disk says that it is full: make room, and let nothing be written for a while. Said
        again meanwhile it is no news: what room there is to be made was made."""
        with self._lock:
            if self.closed:
                return
            self._granted = 0
            self._closed_until = time.monotonic() + PAUSE
            self._make_room(self._folder.entries(), self._spare())

    def tend(self) -> None:
        """Make room where others have filled the disk, or the limit was lowered."""
        with self._lock:
            entries = self._folder.entries()
            room = self._room(entries) if entries else 0
            if room < 0:
                self._granted = 0
                self._make_room(entries, -room)

    def keep_free(self) -> int:
        """Bytes that have to stay free on the disk."""
        if self._options.keep_free is not None:
            return self._options.keep_free
        return min(KEEP_FREE, self._folder.space()[1] // SHARE)

    def _survey(self, size: int) -> bool:
        entries = self._folder.entries()
        room = self._room(entries)
        if room < size:
            room += self._make_room(entries, max(size - room, self._spare()))
        if room < size:
            self._refuse()
            return False
        self._told = False
        self._granted = min(room, max(size, GRAIN)) - size
        return True

    def _room(self, entries: list[CacheEntry]) -> int:
        used = sum(entry.size for entry in entries)
        return min(self._options.size - used, self._folder.space()[0] - self.keep_free())

    def _spare(self) -> int:
        return min(self._options.size // SPARE, 4 * GRAIN)

    def _make_room(self, entries: list[CacheEntry], wanted: int) -> int:
        """Delete what was used longest ago; bytes that it took."""
        freed = 0
        with self._folder.alone() as alone:
            for entry in entries if alone else ():
                if freed >= wanted:
                    break
                if self._folder.remove(entry.name):
                    log.debug("%s goes from the disk cache", entry.name)
                    freed += entry.size
        return freed

    def _refuse(self) -> None:
        self._granted = 0
        self._closed_until = time.monotonic() + PAUSE
        if not self._told:
            log.info("the disk cache at %s is full of files that are open", self._folder.path)
        self._told = True
