"""Reading files: from a byte range to verified bytes, ahead of a sequential reader.

Concurrency: everything here runs in the event loop, except `FileReader.at_once`, which any thread
may call: it looks at what is in memory and leaves the rest to the loop. Loading a chunk is single-
flight: who comes second waits for the first one's load, and shares its outcome; only the chunks of
a load of several that failed are loaded once more, each alone. A task that waits holds no lock;
loads run in the nursery the reader was given (the engine's), so a task that is cancelled while it
waits cancels nobody's load. Streams are recognised per file and offset, not per handle: several may
run through one file at once.
"""

import copy
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from ...errors import ChunkDamagedError, UsageError, first_failure
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..formats.manifest import Manifest
from ..objects import Objects
from .cache import ChunkCache, Loaded
from .counters import Ahead, ReadCounters
from .loader import EXTENT, Loader
from .recipe import ChunkSpan, Recipe

STREAMS: Final = 8
"""Streams remembered per open file."""
TOLERANCE: Final = 4 << 20
"""A read this many bytes before or after where a stream stood still belongs to it."""
JOINED: Final = 1 << 20
"""The longest request that FUSE makes, and so the most that is joined again and again."""
FIRST_WINDOW: Final = 4 << 20
LARGEST_WINDOW: Final = 16 << 20
SMALLEST_WINDOW: Final = 2 << 20
"""However many streams there are, each has the next chunk loaded while it reads one."""
ACTIVE: Final = 10.0
"""Seconds for which a stream that does not read still counts when the cache is shared out."""
CACHE: Final = 32 << 20
"""Bytes of verified chunks kept in memory by default.

Small on purpose: the kernel's page cache keeps what was read, and memory touched for the first time
costs more than reading the chunk again (bench/read: 1.1 GB/s with 96 MiB, 2.0 with 32).
"""

log = logging.getLogger(__name__)

Soon = Callable[[Callable[[], object]], None]
"""Has a job done in the event loop, whichever thread calls it."""


@dataclass(slots=True)
class _Flight:
    """One load under way, of one chunk if `alone`.

    When `landed` is set, `data` has the chunks; or it is empty and `failure` says why, None if the
    load was cancelled.
    """

    alone: bool
    landed: trio.Event = field(default_factory=trio.Event)
    data: dict[ChunkId, Loaded] = field(default_factory=dict)
    failure: Exception | None = None


@dataclass(slots=True, eq=False)
class _Stream:
    """A run of reads: where it stands, how far ahead is loaded, how long the window is (bytes).

    Up to `due` there is nothing to load, however far it reads.
    """

    position: int
    ahead: int
    window: int
    due: int = 0

    def takes(self, offset: int) -> bool:
        """Whether a read at that offset belongs to it."""
        return -TOLERANCE <= offset - self.position <= TOLERANCE


class Reader:
    """Opens files of a store for reading. One for all of them: one cache, one set of loads."""

    def __init__(
        self,
        objects: Objects,
        loader: Loader,
        nursery: trio.Nursery,
        *,
        cache: int = CACHE,
        counters: ReadCounters | None = None,
    ) -> None:
        self.counters = ReadCounters() if counters is None else counters
        self._objects = objects
        self._loader = loader
        self._nursery = nursery
        self._ahead = Ahead(self.counters)
        self._cache = ChunkCache(cache, self._ahead.drop)
        self._flights: dict[ChunkId, _Flight] = {}
        self._joined = SizedBuffers(JOINED, count=8)
        # When each stream last read, that which did so longest ago first.
        self._active: OrderedDict[_Stream, float] = OrderedDict()

    def open(self, manifest: Manifest) -> "FileReader":
        """A reader of one file. Cheap: nothing is fetched."""
        return FileReader(self, self._objects.recipe(manifest), manifest.size)

    def cached(self, span: ChunkSpan, *, sequential: bool) -> Loaded | None:
        """A chunk that is in memory."""
        # A stream does not come back. If what it has read stayed longest, what is loaded ahead of
        # it, and of others, would have to go first.
        chunk = self._cache.get(span.id, passing=sequential)
        if chunk is None:
            return None
        self._ahead.use(span.id)
        return _expected(span, chunk)

    def start(self, spans: Sequence[ChunkSpan], *, sequential: bool, ahead: bool = False) -> None:
        """Begin to load what of `spans` is neither in memory nor on its way; `ahead` says that
        nobody waits for it yet."""
        batch: list[ChunkId] = []
        size = 0
        for span in spans:
            if span.id in self._cache or span.id in self._flights or span.id in batch:
                continue
            if size + span.raw > EXTENT:
                self._launch(batch, sequential)
                batch, size = [], 0
            batch.append(span.id)
            size += span.raw
            if ahead:
                self._ahead.begin(span.id, span.raw)
        self._launch(batch, sequential)

    def _launch(self, ids: list[ChunkId], sequential: bool) -> None:
        if ids:
            flight = _Flight(alone=len(ids) == 1)
            self._flights.update(dict.fromkeys(ids, flight))
            self.counters.loads += 1
            self._nursery.start_soon(self._fly, flight, ids, sequential)

    async def _fly(self, flight: _Flight, ids: list[ChunkId], sequential: bool) -> None:
        try:
            flight.data = await self._loader.load(ids, sequential=sequential)
            for id_ in ids:
                self._cache.put(id_, flight.data[id_])
        except Exception as error:
            # Whoever waits hears of it. What is no error of ours is a mistake in the program: it
            # may fail a read, but not the mount around it.
            self.counters.loads_failed += 1
            for id_ in ids:
                self._ahead.drop(id_)
            flight.failure = first_failure(error)
            if flight.failure is None:
                log.exception("a load ahead of a reader failed")
                flight.failure = error
        finally:
            for id_ in ids:
                del self._flights[id_]
            flight.landed.set()

    async def chunk(self, span: ChunkSpan, *, sequential: bool) -> Loaded:
        """One chunk, verified; from memory, a load under way, or a new load.

        When a load of several chunks failed, perhaps because of another one of them, this one is
        loaded alone; for all who wait for it together. ChunkDamagedError, DataLostError or another
        ModelFloatError where that fails too.
        """
        while True:
            data = self.cached(span, sequential=sequential)
            if data is not None:
                return data
            self._ahead.use(span.id)
            self.start([span], sequential=sequential)
            flight = self._flights[span.id]
            await flight.landed.wait()
            if span.id in flight.data:
                return _expected(span, flight.data[span.id])
            if flight.alone:
                # A copy each: a traceback belongs to one task.
                raise copy.copy(flight.failure) or UsageError(
                    "the store was closed while a file was being read"
                )

    def share(self, stream: _Stream) -> int:
        """How long the window of `stream` may be, bytes, now that it reads on.

        What one stream loads ahead must not push out what another has not read yet: until a chunk
        is read, its stream loads up to one window and a half, in buffers that are not quite full.
        """
        now = trio.current_time()
        self._active[stream] = now
        self._active.move_to_end(stream)
        while next(iter(self._active.values())) < now - ACTIVE:
            self._active.popitem(last=False)
        return max(self._cache.budget // (2 * len(self._active)), SMALLEST_WINDOW)

    def forget(self, stream: _Stream) -> None:
        """The stream reads no more."""
        self._active.pop(stream, None)

    def join(self, chunks: Sequence[Loaded], skip: int, size: int) -> memoryview:
        """`size` bytes of chunks that follow each other, from `skip` bytes into the first on.

        Nothing is copied where the chunks lie end to end in one memory.
        """
        first = chunks[0]
        end = first.start
        for chunk in chunks:
            if chunk.memory is not first.memory or chunk.start != end:
                break
            end += chunk.size
        else:
            start = first.start + skip
            return first.memory[start : start + size]
        out = self._joined.take(size)
        at = 0
        for chunk in chunks:
            part = chunk.data[skip : skip + size - at]
            out[at : at + len(part)] = part
            at += len(part)
            skip = 0
        return out


def _expected(span: ChunkSpan, chunk: Loaded) -> Loaded:
    """The chunk, if it is as long as the manifest says: else what follows it would be shifted."""
    if chunk.size != span.raw:
        raise ChunkDamagedError(
            f"a manifest says that chunk {span.id.hex()[:16]} holds {span.raw} bytes, but it holds "
            f"{chunk.size}; add the file again"
        )
    return chunk


class FileReader:
    """One open file. `size` is its length in bytes. Used from one event loop."""

    def __init__(self, reader: Reader, recipe: Recipe, size: int) -> None:
        self.size = size
        self._reader = reader
        self._recipe = recipe
        self._streams: list[_Stream] = []

    async def read(self, offset: int, size: int) -> memoryview | bytes:
        """The file's bytes [offset, offset+size), fewer only at its end.

        The result stays valid as long as it is referenced. DataLostError, ChunkDamagedError or
        another ModelFloatError where the bytes cannot be had.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        spans, chunks = await self._load(offset, size)
        return self._reader.join(chunks, offset - spans[0].offset, size)

    def at_once(self, offset: int, size: int, soon: Soon) -> list[memoryview] | None:
        """`read` where everything is in memory, in parts and without a copy; else None.

        Any thread may call it. What has to be loaded ahead is left to the event loop by `soon`.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return []
        spans = self._recipe.at_hand(offset, size)
        if spans is None:
            return None
        streams = self._streams[:1]
        sequential = bool(streams) and streams[0].takes(offset)
        parts = []
        for span in spans:
            chunk = self._reader.cached(span, sequential=sequential)
            if chunk is None:
                return None
            start = chunk.start + max(0, offset - span.offset)
            end = chunk.start + min(span.raw, offset + size - span.offset)
            parts.append(chunk.memory[start:end])
        self._reader.counters.chunk_hits += len(spans)
        if sequential and offset + size <= streams[0].due:
            # Two threads may say so at once: then the stream stands a read further back.
            streams[0].position = max(streams[0].position, offset + size)
        else:
            soon(partial(self._note, offset, size))
        return parts

    def spans(self, offset: int, size: int) -> list[ChunkSpan]:
        """The chunks that hold the file's bytes [offset, offset+size), in order."""
        return self._recipe.spans(offset, size)

    async def parts(self, spans: Sequence[ChunkSpan]) -> list[memoryview]:
        """The bytes of chunks that follow each other, as they lie in memory: nothing is copied.

        They stay valid, and keep their memory, as long as they are referenced. Errors as of `read`.
        """
        first, last = spans[0], spans[-1]
        _, chunks = await self._load(first.offset, last.offset + last.raw - first.offset)
        return [chunk.data for chunk in chunks]

    async def _load(self, offset: int, size: int) -> tuple[list[ChunkSpan], list[Loaded]]:
        spans = self._recipe.spans(offset, size)
        sequential = self._note(offset, size)
        chunks = [self._reader.cached(span, sequential=sequential) for span in spans]
        misses = chunks.count(None)
        self._reader.counters.chunk_hits += len(chunks) - misses
        if misses:
            self._reader.counters.chunk_misses += misses
            self._reader.start(spans, sequential=sequential)
        found = [
            chunk or await self._reader.chunk(span, sequential=sequential)
            for chunk, span in zip(chunks, spans, strict=True)
        ]
        return spans, found

    def _note(self, offset: int, size: int) -> bool:
        """Take note of a read, start loading ahead of it; whether it belongs to a stream."""
        end = offset + size
        for place, stream in enumerate(self._streams):
            if stream.takes(offset):
                stream.position = max(stream.position, end)
                if place:
                    self._streams.insert(0, self._streams.pop(place))
                self._read_ahead(stream)
                return True
        self._streams.insert(0, _Stream(end, end, FIRST_WINDOW))
        if len(self._streams) > STREAMS:
            self._reader.forget(self._streams.pop())
        return False

    def _read_ahead(self, stream: _Stream) -> None:
        # Half a window is loaded at a time, so that loads stay long and the reader rarely waits.
        window = min(stream.window, self._reader.share(stream))
        target = min(stream.position + window, self.size)
        stream.due = stream.ahead - window + window // 2
        if target - stream.ahead < window // 2 and target < self.size:
            return
        start = max(stream.ahead, stream.position)
        if start < target:
            spans = self._recipe.spans(start, target - start)
            self._reader.start(spans, sequential=True, ahead=True)
            stream.ahead = target
            stream.due = target - window + window // 2
            stream.window = min(2 * stream.window, LARGEST_WINDOW)

    def close(self) -> None:
        """Its streams leave the cache to others. What was read stays valid."""
        for stream in self._streams:
            self._reader.forget(stream)
        self._streams.clear()
