"""A cached file as one process has it open: once, for all who read and write it there."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from ...ids import ChunkId
from .cachedfile import CachedFile
from .datafile import Piece

FRESH: Final = 1.0
"""Seconds for which what other processes have put is not looked for again."""
REPEATS: Final = 20_000
"""A file that lacks more chunks than that is not searched for repeated ones."""


@dataclass(slots=True, eq=False)
class SharedFile:
    """A cached file that is open here, for `users` readers and writers.

    `pieces` gives all its chunks. What was put and is not flushed is `unflushed` bytes. One that
    was `refused` found the disk full, and gets another chance; one that `failed` is not written to
    any more. For one that is `tidied` it was asked that it be sealed.
    """

    name: str
    file: CachedFile
    pieces: Callable[[], Iterable[Piece]]
    users: int = 1
    unflushed: int = 0
    refused: bool = False
    failed: bool = False
    tidied: bool = False
    refreshed: float = field(default_factory=time.monotonic)

    @property
    def settled(self) -> bool:
        """Whether the map says all there is to say, or will never."""
        return self.failed or not self.file.changed

    @property
    def stale(self) -> bool:
        """Whether others may have put what is missing here."""
        return not self.file.complete and time.monotonic() >= self.refreshed + FRESH

    def repeated(self, check: Callable[[], object]) -> Iterable[tuple[Piece, memoryview]]:
        """Chunks that lack, with their bytes, of which the file has another copy elsewhere.

        `check` is called now and then, and may raise.
        """
        missing: dict[ChunkId, list[Piece]] = {}
        for piece in self.pieces() if 0 < self.file.missing <= REPEATS else ():
            if not self.file.has(piece.number):
                missing.setdefault(piece.id, []).append(piece)
        for source in self.pieces() if missing else ():
            check()
            if source.id in missing and self.file.has(source.number):
                data = memoryview(bytearray(source.raw))
                if self.file.read([source], data)[0]:
                    for piece in missing.pop(source.id):
                        yield piece, data
