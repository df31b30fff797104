"""How far ahead of a stream is loaded: windows, and what all streams of a store share.

Concurrency: used in the event loop.
"""

from collections import OrderedDict
from typing import Final

import trio

from .cache import ChunkCache
from .streams import Stream

FIRST_WINDOW: Final = 4 << 20
LARGEST_WINDOW: Final = 16 << 20
SMALLEST_WINDOW: Final = 2 << 20
"""However many streams there are, each has the next chunk loaded while it reads one."""
ACTIVE: Final = 10.0
"""Seconds for which a stream that does not read still counts when the cache is shared out."""


class Windows:
    """Shares the cache out among the streams that read."""

    def __init__(self, cache: ChunkCache) -> None:
        self._cache = cache
        # When each stream last read, that which did so longest ago first.
        self._active: OrderedDict[Stream, float] = OrderedDict()

    def share(self, stream: Stream) -> int:
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

    def forget(self, stream: Stream) -> None:
        """The stream reads no more."""
        self._active.pop(stream, None)
