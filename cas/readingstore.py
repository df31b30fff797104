"""A store as whoever reads it knows it: the index, the backends, and all that reading shares.

Concurrency: everything runs in one event loop. Readers are never locked out.
"""

from collections.abc import Mapping
from typing import Final

import trio

from ..erasure.scheme import Scheme
from ..ids import PublicKey
from .cache.diskcache import DiskCache
from .cache.folder import CacheFolder
from .cache.options import CacheOptions
from .cache.writer import CacheWriter
from .catalog import Catalog
from .formats.manifest import Manifest
from .index.checkbook import Sightings
from .index.index import Index
from .openoptions import OpenOptions
from .packs.members import Members
from .packs.pool import Pool
from .read.budget import MemoryBudget
from .read.counters import ReadCounters
from .read.diskfiles import DiskFiles
from .read.extents import EXTENT
from .read.filereader import FileReader
from .read.loader import Loader
from .read.memorylimit import default_limit
from .read.reader import Reader
from .read.refetch import Refetch
from .refnames import Address
from .signing.seen import SeenRefs
from .signing.trust import Trust
from .trustedrefs import TrustedRefs

LEAST_SLOTS: Final = 8
MOST_SLOTS: Final = 64
"""Extents that the reader keeps for reuse, at least and at most: a quarter of its memory."""


class ReadingStore(Catalog):
    """The reading half of a store."""

    def __init__(
        self,
        path: str,
        scheme: Scheme,
        index: Index,
        members: Members,
        nursery: trio.Nursery,
        options: OpenOptions,
    ) -> None:
        super().__init__(path, scheme, index)
        self.members = members
        if (trusting := options.trusting) is not None:
            trust = Trust(index, SeenRefs(trusting.folder, self.id), trusting.keys)
            self.refs = TrustedRefs(index, self.objects, trust)
        self.sightings = Sightings(index)
        self.counters = ReadCounters()
        self.budget = MemoryBudget(options.reading.memory or default_limit())
        self.pool = Pool(members, self.sightings.note, self.counters.note_fetched, self.budget)
        slots = max(LEAST_SLOTS, min(MOST_SLOTS, self.budget.limit // (4 * EXTENT)))
        self.loader = Loader(index, self.pool, self.budget, slots=slots)
        self.disk = self._disk_files(options.reading.cache)
        self.refetch = None if options.fetch is None else Refetch(options.fetch, index.ids)
        self.reader = Reader(
            self.objects,
            self.loader,
            nursery,
            self.budget,
            counters=self.counters,
            disk=self.disk,
            warm_sets=options.reading.warm_sets,
            far=members.remote,
            refetch=self.refetch,
        )

    def _disk_files(self, options: CacheOptions | None) -> DiskFiles | None:
        if options is None or not options.size:
            return None
        cache = DiskCache(CacheFolder(options.folder, self.id), options, self.index.ids)
        writer = CacheWriter(cache, self.budget)
        return DiskFiles(
            cache,
            writer,
            self.objects.recipe,
            self.counters,
            lambda: options.local or self.members.remote(),
        )

    @property
    def caches(self) -> bool:
        """Whether what is read now is kept in the disk cache."""
        return self.disk is not None and self.disk.wanted()

    def trust(self, keys: Mapping[PublicKey, str]) -> None:
        """Trust these keys from now on, by their names, where signatures are required."""
        if isinstance(self.refs, TrustedRefs):
            self.refs.trust.keys = keys

    def open_manifest(self, manifest: Manifest) -> FileReader:
        """A reader of the file of that manifest."""
        return self.reader.open(manifest)

    def open_file(self, address: Address) -> FileReader:
        """A reader of the file at `address`; NotFoundError, or UsageError without a path."""
        return self.open_manifest(self.manifest(address))
