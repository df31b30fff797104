"""Where the chunks of one file come from: its disk cache, if it has one, then packs; where chunks
are lost, its sources.

`FileCache` and `CachedFile` say what a disk cache offers; `diskfiles` has them.

Concurrency: used in the event loop, except `load_now`, which any thread may call.
"""

from collections.abc import Sequence
from typing import Protocol

from ...errors import DamageError, ModelFloatError, one_failure
from ...ids import ChunkId
from ..formats.manifest import Manifest
from ..packs.direct import Asked
from .cache import Loaded
from .loader import Loader
from .recipe import ChunkSpan
from .refetch import Refetch


class CachedFile(Protocol):
    """One file's verified chunks on a disk nearby, each at its place in the file."""

    async def prepare(self) -> None:
        """Have it open; in bounded time, whatever the disk does. Who is first to read does it."""
        ...

    async def read(self, spans: Sequence[ChunkSpan]) -> dict[ChunkId, Loaded]:
        """Those of the chunks that are there and verify, in memory that nobody else uses.

        What does not verify, or cannot be read in bounded time, is left out; no error.
        """
        ...

    async def look_again(self) -> None:
        """Know what other processes have put, up to this moment; in bounded time, no error."""
        ...

    def put(self, spans: Sequence[ChunkSpan], chunks: dict[ChunkId, Loaded]) -> None:
        """Have verified chunks written, soon; or leave it. Never waits and never fails.

        What is queued keeps the chunks' memory alive, and is charged.
        """
        ...

    def backing(self) -> int | None:
        """A descriptor of the whole file, valid until `close`, where all of it is there, was read
        back and verified; else None."""
        ...

    def close(self) -> None:
        """The file is not read any more; what is queued is written all the same."""
        ...


class FileCache(Protocol):
    """Finds and makes the cached files of a store."""

    def open(self, manifest: Manifest) -> CachedFile | None:
        """The cached file of what `manifest` describes; None where it is not to be cached."""
        ...


class Supply:
    """Loads chunks of one file, wherever they are to be had soonest.

    Whoever made it uses it, and so does each load that `hold`s it: the disk cache is let go when
    all of them have closed it, so what is loaded ahead of nobody any more is cached as well.
    """

    def __init__(
        self,
        loader: Loader,
        cached: CachedFile | None = None,
        refetch: Refetch | None = None,
        sources: Sequence[str] = (),
    ) -> None:
        self._loader = loader
        self.cached = cached
        self._refetch = refetch
        self._sources = sources
        self._users = 1

    def hold(self) -> None:
        """One more uses it, until its own `close`."""
        self._users += 1

    async def load(self, spans: Sequence[ChunkSpan], *, sequential: bool) -> dict[ChunkId, Loaded]:
        """Each of the chunks, verified; errors as of `Loader.load`."""
        if self._refetch is None or not self._sources:
            return await self._load(spans, sequential)
        try:
            with one_failure():
                return await self._load(spans, sequential)
        except DamageError:
            return await self._load_anyhow(self._refetch, spans, sequential)

    async def _load_anyhow(
        self, refetch: Refetch, spans: Sequence[ChunkSpan], sequential: bool
    ) -> dict[ChunkId, Loaded]:
        """Each chunk by itself; those that are lost from where the file came from."""
        found: dict[ChunkId, Loaded] = {}
        for span in spans:
            try:
                with one_failure():
                    found |= await self._load([span], sequential)
            except DamageError:
                chunk = await refetch.chunk(self._sources, span)
                if chunk is None:
                    raise
                found[span.id] = chunk
                if self.cached is not None:
                    self.cached.put([span], {span.id: chunk})
        return found

    async def _load(self, spans: Sequence[ChunkSpan], sequential: bool) -> dict[ChunkId, Loaded]:
        if self.cached is None:
            return await self._loader.load([span.id for span in spans], sequential=sequential)
        found = await self.cached.read(spans)
        missing = [span for span in spans if span.id not in found]
        if missing:
            found |= await self._fetch(self.cached, missing, sequential)
        return found

    async def _fetch(
        self, cached: CachedFile, spans: list[ChunkSpan], sequential: bool
    ) -> dict[ChunkId, Loaded]:
        """Chunks that the disk cache did not seem to have, which are put there."""
        try:
            with one_failure():
                fetched = await self._loader.load([s.id for s in spans], sequential=sequential)
        except ModelFloatError:
            # Others fill the same cache, and what it has is not looked up at each read.
            await cached.look_again()
            found = await cached.read(spans)
            if any(span.id not in found for span in spans):
                raise
            return found
        cached.put(spans, fetched)
        return fetched

    @property
    def at_hand(self) -> bool:
        """Whether chunks can be read in the thread that wants them, as far as is known."""
        return self.cached is None and self._loader.at_hand

    def load_now(self, spans: Sequence[ChunkSpan], asked: Asked) -> dict[ChunkId, Loaded]:
        """Those of the chunks that can be had at once; see `Loader.load_now`."""
        return self._loader.load_now([span.id for span in spans], asked)

    def give_up(self, asked: Asked) -> None:
        """See `Loader.give_up`."""
        self._loader.give_up(asked)

    def close(self) -> None:
        """One of those who use it does not need it any more."""
        self._users -= 1
        if self.cached is not None and not self._users:
            self.cached.close()
