"""Files read through the disk cache: what `Supply` asks, answered by `cas.cache`.

Concurrency: used in the event loop; the disk is asked in worker threads, and a disk that hangs is
given up after PATIENCE seconds and left alone: then reads go on without it. Threads that hang keep
no place.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeVar

import trio
import trio.from_thread

from ...backends.threads import Threads
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..cache.diskcache import DiskCache
from ..cache.sharedfile import SharedFile
from ..cache.writer import FLUSH, CacheWriter
from ..chunking.regions import MAX_CHUNK
from ..formats.cachemap import MOST_CHUNKS, head_of
from ..formats.manifest import Manifest
from .cache import Loaded
from .counters import ReadCounters
from .extents import EXTENT
from .recipe import ChunkSpan, Recipe

PATIENCE: Final = 10.0
"""Seconds that the disk has for one answer."""
THREADS: Final = 8
"""Reads from the disk at once."""

_T = TypeVar("_T")


class DiskFiles:
    """Finds the cached files of a store; `wanted` says whether there is anything to be cached."""

    def __init__(
        self,
        cache: DiskCache,
        writer: CacheWriter,
        recipe: Callable[[Manifest], Recipe],
        counters: ReadCounters,
        wanted: Callable[[], bool],
    ) -> None:
        self.cache = cache
        self.writer = writer
        self.counters = counters
        self.buffers = SizedBuffers(EXTENT, MAX_CHUNK, count=THREADS)
        self._recipe = recipe
        self.wanted = wanted
        self._threads = Threads(THREADS)

    def open(self, manifest: Manifest) -> "DiskFile | None":
        """The cached file of what `manifest` describes; None where it is not to be cached."""
        if not 0 < manifest.chunk_count <= MOST_CHUNKS or not self.wanted():
            return None
        # A recipe of its own: the reader's may not be walked by another thread.
        return DiskFile(self, manifest, lambda: self._recipe(manifest).all())

    async def in_thread(self, work: Callable[[], _T]) -> _T | None:
        """What `work` gives; None where the disk is, or is to be, left alone."""
        if self.cache.quiet:
            return None
        with trio.move_on_after(PATIENCE):
            return await self._threads.run(work)
        self.cache.hush(f"did not answer within {PATIENCE:g} s")
        return None

    async def wait_for(self, work: Callable[[], _T]) -> _T:
        """What `work` gives, however long it takes."""
        return await self._threads.run(work)


class DiskFile:
    """One file of the disk cache, opened by the first who needs it."""

    def __init__(
        self, files: DiskFiles, manifest: Manifest, pieces: Callable[[], Iterable[ChunkSpan]]
    ) -> None:
        self._files = files
        self._manifest = manifest
        self._pieces = pieces
        self._lock = threading.Lock()
        self._closed = False
        self._shared: SharedFile | None = None
        self._opening: trio.Event | None = None

    async def prepare(self) -> None:
        """Have it open, and know what other processes have put; by itself only where it is slow."""
        if self._opening is None:
            self._opening = trio.Event()
            try:
                await self._files.in_thread(self._open)
            finally:
                self._opening.set()
        await self._opening.wait()
        if (shared := self._shared) is None:
            return
        if shared.stale:
            await self.look_again()
        if shared.file.complete and not shared.tidied:
            shared.tidied = True
            self._files.writer.tidy(shared)

    async def look_again(self) -> None:
        """Know what other processes have put, up to now; a disk that fails tells nothing."""
        if (shared := self._shared) is not None:
            await self._files.in_thread(partial(self._files.cache.refresh, shared))

    def _open(self) -> None:
        """In a thread that nobody may be waiting for any more."""
        cache = self._files.cache
        shared = cache.open(head_of(self._manifest), self._pieces)
        with self._lock:
            if not self._closed:
                self._shared = shared
                return
        if shared is not None:
            cache.release(shared)

    async def read(self, spans: Sequence[ChunkSpan]) -> dict[ChunkId, Loaded]:
        """Those of the chunks that are there and verify. What does not is forgotten; no error."""
        await self.prepare()
        shared = self._shared
        here = [] if shared is None else [s for s in spans if shared.file.has(s.number)]
        if shared is None or not here:
            return {}
        found = await self._files.in_thread(partial(self._read, shared, here)) or {}
        self._files.counters.disk_hits += len(found)
        self._files.counters.disk_read += sum(chunk.size for chunk in found.values())
        return found

    def _read(self, shared: SharedFile, spans: Sequence[ChunkSpan]) -> dict[ChunkId, Loaded]:
        buffer = self._files.buffers.take(sum(span.raw for span in spans))
        found, at = {}, 0
        for span, sound in zip(spans, shared.file.read(spans, buffer), strict=True):
            if sound:
                found[span.id] = Loaded(buffer, at, span.raw)
            at += span.raw
        return found

    def put(self, spans: Sequence[ChunkSpan], chunks: dict[ChunkId, Loaded]) -> None:
        """Have verified chunks written, soon; or leave it. Never waits and never fails."""
        shared = self._shared
        if shared is None:
            return
        for span in spans:
            if (chunk := chunks[span.id]).size == span.raw:
                self._files.writer.put(shared, span, chunk.data)

    def has(self, span: ChunkSpan) -> bool:
        """Whether a chunk is there, as far as is known since `prepare`."""
        return self._shared is not None and self._shared.file.has(span.number)

    async def keep(self, spans: Sequence[ChunkSpan], chunks: dict[ChunkId, Loaded]) -> bool:
        """Write verified chunks now, for who waits for it; whether all of them are there."""
        return await self._files.wait_for(partial(self._keep, spans, chunks)) or False

    def _keep(self, spans: Sequence[ChunkSpan], chunks: dict[ChunkId, Loaded]) -> bool:
        shared, cache = self._shared, self._files.cache
        if shared is None or not all(cache.put(shared, s, chunks[s.id].data) for s in spans):
            return False
        if shared.unflushed >= FLUSH:  # so that who is interrupted has not fetched in vain
            cache.settle(shared, trio.from_thread.check_cancelled, final=False)
        return True

    async def finish(self) -> bool:
        """Make durable what was kept and read all of it back; whether the file is whole."""
        shared = self._shared
        if shared is None:
            return False
        settle = partial(self._files.cache.settle, shared, trio.from_thread.check_cancelled)
        await self._files.wait_for(settle)
        return shared.file.complete

    def backing(self) -> int | None:
        """A descriptor of the whole file, valid until `close`, where all of it was read back and
        verified; else None."""
        return None if self._shared is None else self._shared.file.backing()

    def close(self) -> None:
        """The file is not read any more; what is queued is written all the same."""
        with self._lock:
            self._closed = True
            shared, self._shared = self._shared, None
        if shared is not None:
            self._files.writer.release(shared)
