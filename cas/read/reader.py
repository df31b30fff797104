"""Reading the files of a store: what all open files share.

Concurrency: everything runs in the event loop, except `FileReader.at_once`.
"""

from collections.abc import Sequence
from typing import Final

import trio

from ..formats.manifest import Manifest
from ..objects import Objects
from .budget import MemoryBudget
from .cache import ChunkCache
from .counters import Ahead, ReadCounters
from .filereader import FileReader
from .flights import Flights
from .joining import Joiner
from .loader import Loader
from .recipe import ChunkSpan
from .supply import FileCache, Supply
from .windows import Windows

CACHE: Final = 32 << 20
"""Bytes of verified chunks kept in memory by default.

Small on purpose: the kernel's page cache keeps what was read, and memory touched for the first time
costs more than reading the chunk again (bench/read: 1.1 GB/s with 96 MiB, 2.0 with 32).
"""


class Reader:
    """Opens files of a store for reading. One for all of them: one cache, one set of loads.

    `disk`, where there is one, keeps what was read on a disk nearby.
    """

    def __init__(
        self,
        objects: Objects,
        loader: Loader,
        nursery: trio.Nursery,
        budget: MemoryBudget,
        *,
        counters: ReadCounters | None = None,
        disk: FileCache | None = None,
    ) -> None:
        self.counters = ReadCounters() if counters is None else counters
        self._objects = objects
        self._loader = loader
        self._disk = disk
        ahead = Ahead(self.counters)
        cache = ChunkCache(min(CACHE, budget.limit), ahead.drop)
        self._flights = Flights(cache, nursery, self.counters, ahead)
        self._windows = Windows(cache)
        self._joiner = Joiner()

    def open(self, manifest: Manifest) -> FileReader:
        """A reader of one file. Cheap: nothing is fetched."""
        cached = None if self._disk is None else self._disk.open(manifest)
        return FileReader(
            self._flights,
            self._windows,
            self._joiner,
            self._objects.recipe(manifest),
            Supply(self._loader, cached),
        )

    def start(self, spans: Sequence[ChunkSpan]) -> None:
        """Begin to load chunks, of any files, that will be read soon."""
        self._flights.start(spans, Supply(self._loader), sequential=True)
