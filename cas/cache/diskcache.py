"""The disk cache of a store, as one process has it open: files found, filled, sealed, let go.

Everything here is a convenience: a disk that is full, that fails or that is gone makes nothing fail
but the cache, which says so and leaves it for a while.

Concurrency: any thread may call anything. All of it may block but `retain` and the properties;
nothing is read or written while `_lock` is held.
"""

import errno
import logging
import resource
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from ...errors import FormatError, ModelFloatError
from ..formats.cachemap import MapHead
from ..formats.chunkids import PLAIN, ChunkIds
from .cachedfile import CachedFile, open_cached
from .datafile import Piece, cached_name
from .folder import CacheFolder
from .options import CacheOptions
from .pause import Pause
from .quota import Quota
from .sharedfile import SharedFile

BLOCKS: Final = 8192
"""Bytes that a chunk takes beyond its own, at most: it begins and ends within a disk's blocks."""
DESCRIPTORS: Final = 4
"""Of the files that this process may have open, one part in so many are the cache's at most."""
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

log = logging.getLogger(__name__)


class DiskCache:
    """The cached files of one store in one folder."""

    def __init__(self, folder: CacheFolder, options: CacheOptions, ids: ChunkIds = PLAIN) -> None:
        self._ids = ids
        self.folder = folder
        self.options = options
        self.quota = Quota(folder, options)
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._files: dict[str, SharedFile] = {}
        self._pause = Pause()

    def open(self, head: MapHead, pieces: Callable[[], Iterable[Piece]]) -> SharedFile | None:
        """The cached file of `head`, for one user more; None where it cannot be cached now."""
        name = cached_name(head)
        with self._opening:
            shared = self._known(name)
            if shared is None and (file := self._find(head)) is not None:
                shared = SharedFile(name, file, pieces)
                with self._lock:
                    self._files[name] = shared
            return shared

    def _known(self, name: str) -> SharedFile | None:
        with self._lock:
            shared = self._files.get(name)
            if shared is None or shared.file.gone:
                return None
            shared.users += 1
            return shared

    def retain(self, shared: SharedFile) -> None:
        """One user more of what is open."""
        with self._lock:
            shared.users += 1

    def _find(self, head: MapHead) -> CachedFile | None:
        if self.quiet or self._crowded:
            return None
        try:
            self.folder.make()
            file = open_cached(self.folder.path, head, self._ids)
            if file is not None:
                file.touch()
            return file
        except FormatError as error:
            log.debug("%s", error)
        except (OSError, ModelFloatError) as error:
            self._trouble(error)
        return None

    @property
    def _crowded(self) -> bool:
        """Whether one file more could be one too many for those who read without the cache."""
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return most != resource.RLIM_INFINITY and len(self._files) >= most // DESCRIPTORS

    def refresh(self, shared: SharedFile) -> None:
        """Take over what other processes have put."""
        shared.refreshed = time.monotonic()
        try:
            shared.file.refresh()
        except (OSError, FormatError) as error:
            log.debug("%s", error)

    def put(self, shared: SharedFile, piece: Piece, data: memoryview) -> bool:
        """Write a verified chunk; whether it is there now."""
        if shared.file.has(piece.number):
            return True
        if shared.failed or self.quiet:
            return False
        try:
            if not self.quota.admit(piece.raw + BLOCKS + shared.file.unreserved):
                return False
            shared.unflushed += piece.raw
            shared.file.put(piece, data)
        except OSError as error:
            self._failed(shared, error)
            return False
        return True

    def settle(
        self, shared: SharedFile, check: Callable[[], object], *, final: bool = True
    ) -> None:
        """Make durable what was put.

        If that is `final`, chunks that the file has several times are copied to where they are
        missing, for they are fetched once only; and a file that is complete is read back and
        sealed. `check` is called now and then, and may raise.
        """
        shared.unflushed = 0
        try:
            if shared.file.gone:
                shared.failed = True
                return
            for piece, data in shared.repeated(check) if final else ():
                self.put(shared, piece, data)
            shared.file.flush()
            shared.refused = False
            if final and shared.file.complete:
                shared.file.seal(shared.pieces(), check)
        except OSError as error:
            self._failed(shared, error)
        except ModelFloatError as error:
            log.debug("%s", error)
            shared.failed = True

    def release(self, shared: SharedFile) -> bool:
        """One user less; whether it was the last one, and the file is closed."""
        with self._lock:
            shared.users -= 1
            if shared.users:
                return False
            if self._files.get(shared.name) is shared:
                del self._files[shared.name]
        if shared.file.empty:
            self.refresh(shared)  # or others' chunks would go with it
        empty = shared.file.empty and not shared.file.gone
        self.flush(shared)
        shared.file.close()
        if empty:
            self._remove(shared.name)
        return True

    def close(self) -> None:
        """Let go of all that is open, whoever uses it."""
        with self._lock:
            left = list(self._files.values())
            for shared in left:
                shared.users = 1
        for shared in left:
            self.release(shared)

    def _remove(self, name: str) -> None:
        """Leave nothing of a file of which nothing was read, unless somebody else has it open."""
        try:
            self.folder.remove(name)
        except OSError as error:
            log.debug("%s", error)

    def flush(self, shared: SharedFile) -> None:
        """Make durable what was put, and note when that was."""
        try:
            if not shared.file.gone:
                shared.file.flush()
                shared.file.touch()
        except (OSError, FormatError) as error:
            log.debug("%s", error)

    def tend(self) -> None:
        """Make room where the disk, or the limit, has become too small for what is there."""
        try:
            self.quota.tend()
        except OSError as error:
            self._trouble(error)

    @property
    def quiet(self) -> bool:
        """Whether the disk is left alone for now."""
        return self._pause.on

    @property
    def refuses(self) -> bool:
        """Whether nothing would be written now: the disk is left alone, or has no room."""
        return self.quiet or self.quota.closed

    def hush(self, why: str) -> None:
        """Leave the disk alone for a while, longer each time, and say why."""
        if self._pause.begin():
            log.warning(
                "the disk cache at %s %s; reading goes on without it", self.folder.path, why
            )

    def _failed(self, shared: SharedFile, error: OSError) -> None:
        if error.errno in _FULL and not shared.refused:
            shared.refused = True
            try:
                self.quota.close()
            except OSError as again:
                self._trouble(again)
            return
        shared.failed = True
        if error.errno not in _FULL and not shared.file.gone:
            self._trouble(error)

    def _trouble(self, error: Exception) -> None:
        if isinstance(error, FileNotFoundError):
            # Somebody took the file or the folder away at this moment. It is made anew next time.
            log.debug("%s", error)
            return
        self.hush(f"fails: {getattr(error, 'strerror', None) or error}")
