"""Chunks that the store has lost, had again from where their file came from.

Whatever comes is compared with the chunk's id before anybody sees it, so a source need not be
trusted, nor be what it was.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from ..formats.chunkids import PLAIN, ChunkIds
from .cache import Loaded
from .recipe import ChunkSpan
from .seldom import Seldom

FetchRange = Callable[[str, int, int], Awaitable[bytes | None]]
"""Gets `size` bytes at an offset of what a URL names; None where it cannot, which it logs. It
raises nothing, and ends in bounded time."""
AT_ONCE: Final = 4
"""Requests to sources at one time."""

log = logging.getLogger(__name__)


class Refetch:
    """Asks sources, in their order."""

    def __init__(self, fetch: FetchRange, ids: ChunkIds = PLAIN) -> None:
        self._ids = ids
        self._fetch = fetch
        self._turns = trio.CapacityLimiter(AT_ONCE)
        self._told = Seldom(log)

    async def chunk(self, sources: Sequence[str], span: ChunkSpan) -> Loaded | None:
        """One chunk of a file with these sources, verified; None where none of them has it."""
        for url in sources:
            async with self._turns:
                data = await self._fetch(url, span.offset, span.raw)
            if data is None:
                continue
            if self._ids.of(data) == span.id:
                self._told.warn(f"chunk {span.id.hex()[:16]} is lost here; {url} has it still")
                return Loaded(memoryview(data), 0, len(data))
            self._told.warn(f"{url} is not the file it was: chunk {span.id.hex()[:16]} is another")
        return None
