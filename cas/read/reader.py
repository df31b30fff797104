"""Reading the files of a store: what all open files share.

Concurrency: everything runs in the event loop, except `FileReader.at_once`.
"""

from collections.abc import Sequence

import trio

from ..formats.manifest import Manifest
from ..objects import Objects
from .budget import MemoryBudget
from .cache import ChunkCache
from .counters import Ahead, ReadCounters
from .filereader import FileReader
from .flights import Flights
from .joining import Joiner
from .loader import EXTENT, Loader
from .pace import Pace
from .readahead import ReadAhead
from .recipe import ChunkSpan
from .supply import FileCache, Supply
from .windows import CACHE, Windows


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
        self.budget = budget
        self._objects = objects
        self._loader = loader
        self._disk = disk
        ahead = Ahead(self.counters)
        cache = ChunkCache(CACHE, ahead.drop, budget)
        self._nursery = nursery
        self._flights = Flights(cache, budget, nursery, self.counters, ahead)
        self._windows = Windows(cache, budget)
        self._joiner = Joiner()

    def open(self, manifest: Manifest) -> FileReader:
        """A reader of one file. Cheap: nothing is fetched."""
        cached = None if self._disk is None else self._disk.open(manifest)
        recipe, regions = self._objects.recipe(manifest), self._objects.regions(manifest)
        supply = Supply(self._loader, cached)
        ahead = ReadAhead(self._flights, self._windows, self._nursery, recipe, regions, supply)
        return FileReader(self._flights, ahead, self._joiner, recipe, supply)

    def start(self, spans: Sequence[ChunkSpan]) -> None:
        """Begin to load chunks, of any files, that will be read soon."""
        supply = Supply(self._loader)
        self._flights.start(spans, supply, Pace(EXTENT), sequential=True)
