"""Faults planted at random over a store: a check finds every one of them, a repair mends them."""

import random
from pathlib import Path

import pytest
import trio
from blake3 import blake3

from modelfloat.cas.buffers import BufferPool
from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.journal import PackStored
from modelfloat.cas.packs.builder import NewChunk, PackBuilder
from modelfloat.cas.store import Store
from modelfloat.cas.verify.checkorder import VerifyRequest
from modelfloat.ids import ChunkId
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import TO_ONE, all_files, flip_bit, packs_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store

TOGETHER = 100


async def fill(store: Store, folder: Path, packs: int, size: int) -> None:
    """So many data packs: each add makes one."""
    path = folder / "file"
    for number in range(packs):
        path.write_bytes(noise(f"pack {number}", size))
        await add(store, path, f"acme/m{number % 50}/{number}")


def plant(store: Path, count: int, seed: int) -> set[tuple[str, int]]:
    """Damage so many shards, at most as many of a pack as its parity replaces; which ones."""
    random_ = random.Random(seed)
    kinds = [damage for damage, _ in TO_ONE.values()]
    places: list[tuple[str, int, Path]] = []
    for pack in packs_of(store):
        shards = random_.sample(sorted(pack.shards.items()), pack.m)
        places += [(pack.id, index, path) for index, path in shards]
    found = set()
    for id_, index, path in random_.sample(places, count):
        if random_.random() < 0.5:
            flip_bit(path, random_.randrange(path.stat().st_size))
        else:
            random_.choice(kinds)(path)
        found.add((id_, index))
    return found


async def check_that_all_are_found(path: Path, count: int, seed: int) -> None:
    """Plant, check, repair, check again: the bytes on the backends are what they were."""
    before = all_files(path)
    planted = plant(path, count, seed)
    async with open_store(str(path)) as store:
        report = await store.verify(VerifyRequest(period=30 * 86_400.0))
        found = {(p.pack, p.index) for p in report.problems if p.kind == "shard"}
        assert (found, len(found), report.exit_status) == (planted, count, 3), seed
        scrubbed = await store.scrubbed()
        assert scrubbed.full is not None
        assert scrubbed.full.problems == count
        report = await store.verify(repair=True)
        repaired = {(p.pack, p.index) for p in report.problems if p.repaired}
        assert repaired == planted, seed
        assert (await store.verify()).exit_status == 0, seed
        assert (await store.scrubbed()).wrong == 0
    assert all_files(path) == before


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_hundred_faults_of_a_hundred_are_found(tmp_path: Path, seed: int) -> None:
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await fill(store, tmp_path, 40, 1_100_000)
        assert sum(pack.kind is Kind.DATA for pack in store.index.packs()) == 40
    await check_that_all_are_found(tmp_path / "store", 100, seed)


async def many_packs(store: Store, count: int) -> None:
    """So many packs of one small chunk each, which no file needs; in the journal and the index."""
    async with store.access.writing("a test") as journal:
        for start in range(0, count, TOGETHER):
            entries: list[PackStored] = []

            async def make(number: int, into: list[PackStored] = entries) -> None:
                data = noise(f"pack {number}", 2_000)
                id_ = ChunkId(blake3(data).digest())
                room = BufferPool(1 << 16, 1, populate=False)
                builder = PackBuilder(Kind.DATA, 1 << 15, room)
                builder.append(NewChunk(id_, data, len(data), 0, ElementType.UNKNOWN))
                parity = BufferPool(1 << 16, 1, populate=False)
                sealed = builder.seal(store.id, store.scheme, parity)
                into.append(await store.pool.store(sealed))

            async with trio.open_nursery() as nursery:
                for number in range(start, start + TOGETHER):
                    nursery.start_soon(make, number)
            await journal.append(entries)


@pytest.mark.slow
async def test_among_ten_thousand_packs_too(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await many_packs(store, 10_000)
        assert sum(1 for _ in store.index.packs()) == 10_000
    await check_that_all_are_found(tmp_path / "store", 100, 3)
