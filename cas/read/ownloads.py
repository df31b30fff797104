"""What a thread that takes requests loads itself: the next chunks of a sequential stream.

`ReadAhead` says how far a stream may be read so (`Stream.until`), and takes over where a load did
not go well.

Concurrency: any thread may call anything here. What they share of a stream are plain numbers; where
two threads change one at once, a chunk is looked for twice, and found.
"""

from itertools import accumulate
from typing import Final

from ..chunking.regions import MAX_CHUNK
from .claims import Claims, Soon
from .readahead import ReadAhead
from .recipe import ChunkSpan, Recipe
from .streams import Stream
from .supply import Supply
from .windows import BEHIND

PIECE: Final = MAX_CHUNK
"""Bytes loaded at a time, at most: what stays in a core's second-level cache."""
AHEAD: Final = 2 << 20
"""Bytes ahead of a reader that are loaded so: what is read, and the next by another thread."""
CAREFUL: Final = 64 << 20
"""Bytes for which the event loop loads ahead where a thread could not."""


class OwnLoads:
    """The chunks of one file that threads load which read it."""

    def __init__(self, claims: Claims, ahead: ReadAhead, recipe: Recipe, supply: Supply) -> None:
        self._claims = claims
        self._ahead = ahead
        self._recipe = recipe
        self._supply = supply

    def go_on(self, soon: Soon) -> None:
        """Load the next chunks of the stream that read last, unless they are there."""
        self._ahead.by_threads = True
        stream = self._ahead.streams.latest
        if stream is None or stream.until <= stream.position:
            return
        if not _lacks(stream) or not self._claims.turns.acquire(blocking=False):
            return
        try:
            if _lacks(stream):  # still
                self._load(stream, soon)
        finally:
            self._claims.turns.release()

    def bring(self, offset: int, size: int, soon: Soon) -> bool:
        """Have the chunks of a read loaded that are not there; whether they may be there now."""
        stream = self._ahead.streams.latest
        if stream is None or not (stream.until > offset and stream.takes(offset)):
            return False
        self.go_on(soon)
        for span in self._recipe.at_hand(offset, size) or ():
            self._claims.wait(span.id)
        return True

    def _load(self, stream: Stream, soon: Soon) -> None:
        spans = self._next(max(stream.reached, stream.position), stream.until)
        if not spans:
            self._leave(stream)
            return
        stream.reached = spans[-1].offset + spans[-1].raw
        self._let_go(stream)
        if not self._claims.load(spans, self._supply, soon):
            self._leave(stream)

    def _next(self, start: int, until: int) -> list[ChunkSpan]:
        """Chunks from `start` on, of up to PIECE bytes; none where another page of the manifest has
        to be read first."""
        spans = self._recipe.at_hand(start, min(PIECE, until - start)) or []
        sizes = accumulate(span.raw for span in spans)
        return [span for span, size in zip(spans, sizes, strict=True) if size <= PIECE]

    def _leave(self, stream: Stream) -> None:
        """Have the event loop load ahead, from the next read on."""
        stream.careful = stream.position + CAREFUL
        stream.until = stream.due = 0

    def _let_go(self, stream: Stream) -> None:
        """What was read is in the kernel's cache: here its memory is used again while it is hot."""
        size = stream.position - BEHIND - stream.passed
        if size < PIECE:
            return
        spans = self._recipe.at_hand(stream.passed, size)
        if spans:
            self._claims.let_go(spans[:-1])
        # Those on an earlier page of the manifest go when the cache is full.
        stream.passed = spans[-1].offset if spans else stream.passed + size


def _lacks(stream: Stream) -> bool:
    """Whether there is something to load ahead of a stream."""
    start = max(stream.reached, stream.position)
    return start < stream.until and start - stream.position < AHEAD
