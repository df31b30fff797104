"""Pools over backends that are far away, on a clock that jumps: no thread, no real time."""

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.limit import LimitBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.buffers import BufferPool
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.index.records import PackRecord
from modelfloat.cas.packs.builder import NewChunk, PackBuilder
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.packs.pool import Pool
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import BackendId, ChunkId
from modelfloat.tests.support import samples
from modelfloat.tests.support.delayed import DelayedBackend

MIB = 1 << 20


def without_threads(patch: pytest.MonkeyPatch) -> None:
    """Have what would go to a worker thread done at once: a clock that jumps does not wait for
    threads."""

    async def run_sync(function: Callable[..., Any], *args: Any, **_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    patch.setattr(trio.to_thread, "run_sync", run_sync)


@dataclass(slots=True)
class FarPool:
    """A pool, its backends, and packs of 1 MiB chunks with their bytes."""

    pool: Pool
    members: list[Member] = field(default_factory=list)
    delayed: list[DelayedBackend] = field(default_factory=list)
    faulty: list[FaultyBackend] = field(default_factory=list)
    packs: list[tuple[PackRecord, bytes]] = field(default_factory=list)

    async def add_pack(self, scheme: Scheme, chunks: int) -> PackRecord:
        """Store one more pack."""
        label = f"pack {len(self.packs)}"
        builder = PackBuilder(Kind.DATA, chunks * MIB, BufferPool(2 * chunks * MIB + 4096, 1))
        data = samples.noise(label, chunks * MIB)
        for number in range(chunks):
            part = data[number * MIB : (number + 1) * MIB]
            builder.append(NewChunk(ChunkId(samples.id_of(f"{label} {number}")), part, MIB, 0, 0))
        room = BufferPool((scheme.k + scheme.m) * chunks * MIB, 1)
        stored = await self.pool.store(builder.seal(samples.STORE, scheme, room))
        record = PackRecord.of(len(self.packs), stored)
        self.packs.append((record, data))
        return record

    def holder(self, record: PackRecord, shard: int) -> int:
        """Which backend holds a shard."""
        return next(i for i, m in enumerate(self.members) if m.id == record.backends[shard])

    async def load(self, number: int, offset: int, size: int = MIB) -> float:
        """Load a range of a pack, and compare it; how long that took. Whatever reads that were
        given up write afterwards changes nothing."""
        record, data = self.packs[number]
        began = trio.current_time()
        found = await self.pool.load(record, offset, size, lambda n: memoryview(bytearray(n)))
        took = trio.current_time() - began
        for backend in self.delayed:
            backend.scribble()
        assert found == data[offset : offset + size]
        return took

    async def load_shard(self, number: int, shard: int, size: int = MIB) -> float:
        """Load the beginning of one data shard."""
        return await self.load(number, shard * self.packs[number][0].shard, size)

    async def read_around(
        self, seconds: float, seed: int = 0, size: int = MIB
    ) -> list[tuple[float, float]]:
        """Load from chunks at random for so long: when each began, and how long it took."""
        order, began = random.Random(seed), trio.current_time()
        taken: list[tuple[float, float]] = []
        while (now := trio.current_time() - began) < seconds:
            number = order.randrange(len(self.packs))
            chunk = order.randrange(len(self.packs[number][1]) // MIB)
            taken.append((now, await self.load(number, chunk * MIB, size)))
        return taken


@contextlib.asynccontextmanager
async def far_pool(
    scheme: str = "4+2",
    backends: int = 6,
    packs: int = 4,
    chunks: int = 4,
    **delay: Any,
) -> AsyncIterator[FarPool]:
    """A pool of packs over backends, each with `delay`, that is watched."""
    far = FarPool(Pool(Members(samples.STORE, [])))
    for number in range(backends):
        slow = DelayedBackend(MemoryBackend(f"d{number}"), seed=number, **delay)
        faulty = FaultyBackend(slow)
        id_ = BackendId(bytes([number + 1] * 16))
        backend = LimitBackend(faulty)
        far.members.append(Member(id_, f"d{number}", backend, f"domain {number}", 1.0))
        far.delayed.append(slow)
        far.faulty.append(faulty)
    far.pool = Pool(Members(samples.STORE, far.members))
    for _ in range(packs):
        await far.add_pack(Scheme.parse(scheme), chunks)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(far.pool.watch)
        await trio.lowlevel.checkpoint()
        yield far
        nursery.cancel_scope.cancel()


def percentile(values: list[float], share: float) -> float:
    """What that share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
