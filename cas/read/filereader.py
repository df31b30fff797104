"""One open file: from a byte range to verified bytes, ahead of whoever reads on.

Concurrency: everything here runs in the event loop, except `FileReader.at_once` and `go_on`, which
any thread may call: they look at what is in memory, load of it what is at hand (`ownloads`), and
leave the rest to the loop.
"""

from collections.abc import Callable, Sequence
from functools import partial

from .cache import Loaded
from .claims import Soon
from .flights import Flights
from .joining import Joiner
from .ownloads import OwnLoads
from .readahead import ReadAhead
from .recipe import ChunkSpan, Recipe
from .sets import Opened
from .supply import CachedFile, Supply


def _now(job: Callable[[], object]) -> None:
    """`Soon` for who is in the event loop."""
    job()


class FileReader:
    """One open file. `size` is its length in bytes. Used from one event loop."""

    def __init__(
        self,
        flights: Flights,
        ahead: ReadAhead,
        joiner: Joiner,
        recipe: Recipe,
        supply: Supply,
        opened: Opened,
    ) -> None:
        self.size = recipe.manifest.size
        self._flights = flights
        self._ahead = ahead
        self._joiner = joiner
        self._recipe = recipe
        self._supply = supply
        self._opened = opened
        self._own = OwnLoads(flights.claims, ahead, recipe, supply)

    @property
    def cached(self) -> CachedFile | None:
        """The file's disk cache, where it has one."""
        return self._supply.cached

    async def prepare(self) -> None:
        """Look what the disk cache has of the file, in bounded time; else the first read does."""
        if self._supply.cached is not None:
            await self._supply.cached.prepare()

    def backing(self) -> int | None:
        """A descriptor of the whole file, valid until `close`, where all of it lies on a disk and
        was verified there; else None. Known after `prepare`."""
        return None if self._supply.cached is None else self._supply.cached.backing()

    async def read(self, offset: int, size: int) -> memoryview | bytes:
        """The file's bytes [offset, offset+size), fewer only at its end.

        The result stays valid as long as it is referenced. DataLostError, ChunkDamagedError or
        another ModelFloatError where the bytes cannot be had.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        spans, chunks = self._in_memory(offset, size, _now) or await self._load(offset, size)
        return self._joiner.join(chunks, offset - spans[0].offset, size)

    def at_once(self, offset: int, size: int, soon: Soon) -> list[memoryview] | None:
        """`read` where everything is in memory, or at hand, in parts and without a copy; else None.

        Any thread may call it, and may hang in it where a disk does. What has to be loaded ahead is
        left to the event loop by `soon`.
        """
        size = min(size, self.size - offset)
        if size <= 0:
            return []
        found = self._in_memory(offset, size, soon)
        if found is None and self._own.bring(offset, size, soon):
            found = self._in_memory(offset, size, soon)
        if found is None:
            return None
        parts = []
        for span, chunk in zip(*found, strict=True):
            start = chunk.start + max(0, offset - span.offset)
            end = chunk.start + min(span.raw, offset + size - span.offset)
            parts.append(chunk.memory[start:end])
        return parts

    def go_on(self, soon: Soon) -> None:
        """After an answer by `at_once`: load what will be asked for next, where that is quickly
        done. Any thread may call it that has nothing better to do, of more than LOADERS."""
        self._own.go_on(soon)

    def _in_memory(
        self, offset: int, size: int, soon: Soon
    ) -> tuple[list[ChunkSpan], list[Loaded]] | None:
        """The chunks of a read, if all are in memory; then note is taken of it."""
        spans = self._recipe.at_hand(offset, size)
        if spans is None:
            return None
        latest = self._ahead.streams.latest
        stream = latest if latest is not None and latest.takes(offset) else None
        chunks = []
        for span in spans:
            chunk = self._flights.cached(span, sequential=stream is not None)
            if chunk is None:
                return None
            chunks.append(chunk)
        self._flights.counters.chunk_hits += len(spans)
        if stream is not None and offset + size <= stream.due:
            # Two threads may say so at once: then the stream stands a read further back.
            stream.position = max(stream.position, offset + size)
            stream.start = min(stream.start, offset)
        else:
            soon(partial(self._ahead.read, offset, size))
        return spans, chunks

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
        sequential = self._ahead.note(offset, size)
        chunks = [self._flights.cached(span, sequential=sequential) for span in spans]
        misses = chunks.count(None)
        self._flights.counters.chunk_hits += len(chunks) - misses
        if misses:
            self._flights.counters.chunk_misses += misses
            self._ahead.wait()
            # Before what is loaded ahead: somebody waits for these.
            self._flights.start(spans, self._supply, self._ahead.pace, sequential=sequential)
        await self._ahead.learn()
        self._ahead.load()
        found = [
            chunk or await self._chunk(span, sequential)
            for chunk, span in zip(chunks, spans, strict=True)
        ]
        return spans, found

    async def _chunk(self, span: ChunkSpan, sequential: bool) -> Loaded:
        return await self._flights.chunk(
            span, self._supply, self._ahead.pace, sequential=sequential
        )

    def close(self) -> None:
        """Its streams leave the memory to others. What was read stays valid."""
        self._ahead.close()
        self._supply.close()
        self._opened.close(self._recipe.manifest)
