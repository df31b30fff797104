"""Chunks without a store: a loader that counts and waits as it is told, and readers over it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import cast

import trio

from modelfloat.cas.buffers import SizedBuffers
from modelfloat.cas.formats.manifest import ChunkRef, Manifest, encode_entries
from modelfloat.cas.objects import Objects
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.cache import Loaded
from modelfloat.cas.read.extents import EXTENT
from modelfloat.cas.read.loader import Loader
from modelfloat.cas.read.reader import Reader
from modelfloat.cas.read.recipe import Recipe
from modelfloat.cas.read.regions import RegionTable
from modelfloat.errors import DataLostError
from modelfloat.ids import ChunkId

CHUNK = 64 << 10


class PlainObjects:
    """Recipes of manifests that stand alone."""

    def recipe(self, manifest: Manifest) -> Recipe:
        return Recipe(manifest, lambda _page: b"")

    def regions(self, manifest: Manifest) -> RegionTable:
        return RegionTable(manifest, lambda _page: b"")


class CountingLoader:
    """Chunks of CHUNK bytes, each full of its number; counts, fails and waits as it is told."""

    def __init__(self) -> None:
        self.loads: list[tuple[ChunkId, ...]] = []
        self.sequential: list[bool] = []
        self.bad: set[ChunkId] = set()
        self.failure: Callable[[], Exception] = lambda: DataLostError("gone")
        self.gate = trio.Event()
        self.gate.set()
        self._buffers = SizedBuffers(EXTENT, 1 << 20, count=8)

    async def load(
        self, ids: Sequence[ChunkId], *, sequential: bool = False
    ) -> dict[ChunkId, Loaded]:
        self.loads.append(tuple(ids))
        self.sequential.append(sequential)
        await trio.lowlevel.checkpoint()
        await self.gate.wait()
        if self.bad.intersection(ids):
            raise self.failure()
        memory = self._buffers.take(len(ids) * CHUNK)
        found = {}
        for at, id_ in enumerate(ids):
            found[id_] = Loaded(memory, at * CHUNK, CHUNK)
            found[id_].data[:8] = id_[:8]
        return found

    def count(self) -> Counter[ChunkId]:
        """How often each chunk was loaded."""
        return Counter(id_ for ids in self.loads for id_ in ids)


def chunk_id(file: int, number: int) -> ChunkId:
    return ChunkId(file.to_bytes(4, "big") + number.to_bytes(4, "big") + bytes(24))


def manifest(file: int, chunks: int, raw: int = CHUNK) -> Manifest:
    entries = [ChunkRef(chunk_id(file, number), raw) for number in range(chunks)]
    return Manifest(chunks * raw, b"", chunks, inline=encode_entries(entries))


def make_reader(
    nursery: trio.Nursery,
    loader: CountingLoader,
    memory: int = 512 << 20,
    *,
    warm_sets: bool = True,
    far: bool = False,
) -> Reader:
    return Reader(
        cast("Objects", PlainObjects()),
        cast("Loader", loader),
        nursery,
        MemoryBudget(memory),
        warm_sets=warm_sets,
        far=lambda: far,
    )
