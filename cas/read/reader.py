"""Reading the files of a store: what all open files share.

Concurrency: everything runs in the event loop, except `FileReader.at_once` and `go_on`.
"""

from collections.abc import Callable, Sequence

import trio

from ..formats.manifest import Manifest
from ..objects import Objects
from .budget import MemoryBudget
from .cache import ChunkCache
from .counters import Ahead, ReadCounters
from .extents import EXTENT
from .filereader import FileReader
from .flights import Flights
from .joining import Joiner
from .loader import Loader
from .pace import Pace
from .readahead import ReadAhead
from .recipe import ChunkSpan, Recipe
from .refetch import Refetch
from .sets import Following, Opened, SetAhead
from .supply import FileCache, Supply
from .windows import CACHE, Windows


class Reader:
    """Opens files of a store for reading. One for all of them: one cache, one set of loads.

    `disk`, where there is one, keeps what was read on a disk nearby. `warm_sets` has the files of a
    set loaded ahead of who opens them; `far` says whether that is worth much. `refetch`, where
    there is one, asks files' sources for what is lost.
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
        warm_sets: bool = True,
        far: Callable[[], bool] = lambda: False,
        refetch: Refetch | None = None,
    ) -> None:
        self.counters = ReadCounters() if counters is None else counters
        self.budget = budget
        self._objects = objects
        self._loader = loader
        self._disk = disk
        self._refetch = refetch
        ahead = Ahead(self.counters)
        cache = ChunkCache(CACHE, ahead.drop, budget)
        self._nursery = nursery
        self._flights = Flights(cache, budget, nursery, self.counters, ahead)
        self._windows = Windows(cache, budget, far)
        self._joiner = Joiner()
        self._warm_sets = warm_sets
        self._far = far
        self._opened = Opened()

    def open(
        self, manifest: Manifest, following: Following | None = None, *, first: bool = False
    ) -> FileReader:
        """A reader of one file. Cheap: nothing is fetched.

        `following` finds the files that come after it in its set; `first` says that it is what is
        opened first of that.
        """
        self._opened.add(manifest)
        recipe, supply = self._enter(manifest)
        ahead = ReadAhead(
            self._flights,
            self._windows,
            self._nursery,
            recipe,
            self._objects.regions(manifest),
            supply,
            self._set(following, first) if following and self._warm_sets else None,
        )
        return FileReader(self._flights, ahead, self._joiner, recipe, supply, self._opened)

    def _enter(self, manifest: Manifest) -> tuple[Recipe, Supply]:
        cached = None if self._disk is None else self._disk.open(manifest)
        supply = Supply(self._loader, cached, self._refetch, manifest.sources)
        return self._objects.recipe(manifest), supply

    def _set(self, find: Following, first: bool) -> SetAhead:
        return SetAhead(find, first, self._far(), self._flights, self._opened, self._enter)

    def start(self, spans: Sequence[ChunkSpan]) -> None:
        """Begin to load chunks, of any files, that will be read soon."""
        supply = Supply(self._loader)
        self._flights.start(spans, supply, Pace(EXTENT), sequential=True)
