"""Where a file's chunks come from, and when its disk cache is let go."""

from collections.abc import Sequence
from typing import cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from modelfloat.cas.formats.manifest import Manifest
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.cache import ChunkCache, Loaded
from modelfloat.cas.read.counters import Ahead, ReadCounters
from modelfloat.cas.read.extents import EXTENT
from modelfloat.cas.read.flights import Flights
from modelfloat.cas.read.loader import Loader
from modelfloat.cas.read.pace import Pace
from modelfloat.cas.read.recipe import ChunkSpan
from modelfloat.cas.read.supply import Supply
from modelfloat.ids import ChunkId
from modelfloat.tests.support.countingloader import (
    CHUNK,
    CountingLoader,
    PlainObjects,
    chunk_id,
    manifest,
)


class Kept:
    """A disk cache that has nothing yet; what was put into it, until it was closed."""

    def __init__(self) -> None:
        self.ids: list[ChunkId] = []
        self.closed = 0

    async def prepare(self) -> None:
        await trio.lowlevel.checkpoint()

    async def read(self, spans: Sequence[ChunkSpan]) -> dict[ChunkId, Loaded]:
        await trio.lowlevel.checkpoint()
        return {}

    def put(self, spans: Sequence[ChunkSpan], chunks: dict[ChunkId, Loaded]) -> None:
        if not self.closed:
            self.ids += [span.id for span in spans if span.id in chunks]

    def backing(self) -> int | None:
        return None

    def close(self) -> None:
        self.closed += 1


def flights(nursery: trio.Nursery) -> Flights:
    counters, budget = ReadCounters(), MemoryBudget(1 << 30)
    ahead = Ahead(counters)
    return Flights(ChunkCache(1 << 30, ahead.drop, budget), budget, nursery, counters, ahead)


def spans_of(described: Manifest) -> list[ChunkSpan]:
    return list(PlainObjects().recipe(described).all())


async def test_what_was_begun_is_cached_though_nobody_reads_the_file_any_more(
    nursery: trio.Nursery,
) -> None:
    """An index is open for an instant; the files that it names are loaded afterwards."""
    loader, kept = CountingLoader(), Kept()
    loader.gate = trio.Event()
    supply = Supply(cast("Loader", loader), kept)
    spans = spans_of(manifest(1, 3 * EXTENT // CHUNK))
    assert flights(nursery).start_ahead(spans, supply, Pace(0))
    supply.close()
    await wait_all_tasks_blocked()
    assert (len(loader.loads), kept.closed) == (3, 0)
    loader.gate.set()
    await wait_all_tasks_blocked()
    assert sorted(kept.ids) == [span.id for span in spans]
    assert kept.closed == 1


@pytest.mark.parametrize("bad", [True, False])
async def test_the_disk_cache_is_let_go_by_the_last_who_needs_it(
    nursery: trio.Nursery, bad: bool
) -> None:
    loader, kept = CountingLoader(), Kept()
    loader.bad = {chunk_id(1, 0)} if bad else set()
    supply = Supply(cast("Loader", loader), kept)
    flights(nursery).start_ahead(spans_of(manifest(1, 1)), supply, Pace(0))
    await wait_all_tasks_blocked()
    assert (len(loader.loads), kept.closed) == (1, 0)
    supply.close()
    assert kept.closed == 1
