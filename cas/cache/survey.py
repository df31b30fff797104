"""What is in a disk cache: told from its folder alone, without opening a store.

Synchronous; for worker threads. What cannot be read is counted by its size only.
"""

import os
from dataclasses import dataclass

from ...errors import ChunkDamagedError, FormatError
from ..formats.cachemap import SLOT, MapHead, decode_head
from .datafile import DATA, cached_name, seal_of
from .folder import CacheEntry, CacheFolder
from .mapfile import MAP, MapFile


@dataclass(frozen=True, slots=True)
class Cached:
    """One cached file: the stored file has `size` bytes, on the disk it takes `taken`.

    Of its `chunks` so many are `there`; `sealed`: all of it was read back and verified. `used` is
    when it was last opened or written (seconds since 1970-01-01).
    """

    blake3: str
    size: int
    taken: int
    chunks: int
    there: int
    sealed: bool
    used: float


def survey(folder: CacheFolder) -> list[Cached]:
    """What is in the folder, that which was used last first. OSError as of a disk."""
    return [_look(folder.path, entry) for entry in reversed(folder.entries())]


def is_whole(folder: CacheFolder, head: MapHead) -> bool:
    """Whether all of a file is there, as its map says; False where that cannot be read."""
    try:
        return 0 not in MapFile(os.path.join(folder.path, cached_name(head)) + MAP, head).load()
    except (OSError, ChunkDamagedError, FormatError):
        return False


def _look(folder: str, entry: CacheEntry) -> Cached:
    path = os.path.join(folder, entry.name)
    try:
        with open(path + MAP, "rb") as file:
            head = decode_head(file.read(SLOT))
        map_ = MapFile(path + MAP, head)
        there, sealed = map_.load().count(1), _is_sealed(path + DATA, map_)
        if cached_name(head) == entry.name:
            return _cached(entry, head.size, head.chunks, there, sealed=sealed)
    except (OSError, ChunkDamagedError, FormatError):
        pass
    return _cached(entry, 0, 0, 0, sealed=False)


def _is_sealed(path: str, map_: MapFile) -> bool:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return map_.seal() == seal_of(fd)
    finally:
        os.close(fd)


def _cached(entry: CacheEntry, size: int, chunks: int, there: int, *, sealed: bool) -> Cached:
    return Cached(entry.name[:64], size, entry.size, chunks, there, sealed, entry.used)
