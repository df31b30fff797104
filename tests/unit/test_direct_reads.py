"""Packs read in the calling thread: what is had so, what is decoded, what is left to the pool."""

import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.backends.direct import direct
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.limit import LimitBackend
from modelfloat.backends.local import LocalBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.index.records import PackRecord
from modelfloat.cas.packs import direct as direct_module
from modelfloat.cas.packs.bars import BARRED, SLOW
from modelfloat.cas.packs.direct import Asked, DirectReads
from modelfloat.cas.read import loader
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.store import Store
from modelfloat.ids import Key
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

ADDRESS = "acme/model/model"


def buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[tuple[Store, PackRecord, bytes]]:
    """A store of one file, its data pack, and the pack's bytes."""
    weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
        (pack,) = [pack for pack in store.index.packs() if pack.k > 1]
        data = bytes(await store.pool.load(pack, 0, pack.length, buffer))
        yield store, pack, data


def lose(store: Store, pack: PackRecord, shards: int) -> None:
    """Take the backends of the first shards out of use."""
    for backend in pack.backends[:shards]:
        member = store.members.get(backend)
        assert member is not None
        member.down = "for a test"


@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_any_range_is_what_the_pool_gives(
    stored: tuple[Store, PackRecord, bytes], lost: int
) -> None:
    store, pack, data = stored
    lose(store, pack, lost)
    reads = DirectReads(store.pool, store.budget)
    shard = pack.shard
    for offset, size in [(0, 1), (0, 3 * shard), (shard - 1, 2), (shard + 7, shard), (5, 100)]:
        found = reads.read(pack, offset, size, buffer, Asked())
        assert found is not None
        assert found == data[offset : offset + size]


async def test_what_a_thread_read_is_known_of_its_backends(
    stored: tuple[Store, PackRecord, bytes],
) -> None:
    store, pack, _ = stored
    asked, reads = Asked(), DirectReads(store.pool, store.budget)
    member = store.members.get(pack.backends[0])
    assert member is not None
    before, fetched = member.latency.bytes, store.counters.fetched
    assert reads.read(pack, 0, 1000, buffer, asked) is not None
    assert asked.backend is None
    assert member.latency.bytes - before == 1000
    assert store.counters.fetched - fetched == 1000


async def test_a_shard_that_can_be_had_again_is_not_made_from_itself(
    stored: tuple[Store, PackRecord, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack, data = stored
    plain, looks = store.pool.usable, list[int]()

    def usable(record: PackRecord, shard: int) -> bool:
        looks.append(shard)  # the first looks find shard 0 away, the next one there
        return plain(record, shard) and (shard != 0 or looks.count(0) > 2)

    monkeypatch.setattr(store.pool, "usable", usable)
    assert DirectReads(store.pool, store.budget).read(pack, 0, 100, buffer, Asked()) == data[:100]


async def test_no_memory_is_taken_where_nothing_can_be_read_so(
    stored: tuple[Store, PackRecord, bytes],
) -> None:
    store, pack, _ = stored
    lose(store, pack, pack.n)
    taken = list[int]()

    def take(size: int) -> memoryview:
        taken.append(size)
        return buffer(size)

    assert DirectReads(store.pool, store.budget).read(pack, 0, 100, take, Asked()) is None
    assert taken == []


async def test_what_decoding_takes_is_bounded_and_charged(
    stored: tuple[Store, PackRecord, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack, data = stored
    lose(store, pack, 1)
    budget, charged, longest = MemoryBudget(1 << 30), list[int](), [0]
    plain = LocalBackend.read_now

    def read_now(self: LocalBackend, key: Key, offset: int, out: memoryview) -> None:
        charged.append(budget.used)
        longest[0] = max(longest[0], len(out))
        plain(self, key, offset, out)

    monkeypatch.setattr(LocalBackend, "read_now", read_now)
    monkeypatch.setattr(direct_module, "DECODED", 64 << 10)
    size = min(pack.shard, 200_001)
    found = DirectReads(store.pool, budget).read(pack, 0, size, buffer, Asked())
    assert found == data[:size]
    assert set(charged) == {64 << 10}
    assert longest[0] == (64 << 10) // pack.k
    assert budget.used == 0


async def test_more_losses_than_parity_are_left_to_the_pool(
    stored: tuple[Store, PackRecord, bytes],
) -> None:
    store, pack, _ = stored
    lose(store, pack, 3)
    assert DirectReads(store.pool, store.budget).read(pack, 0, 100, buffer, Asked()) is None


async def test_a_shard_that_is_missing_is_left_to_the_pool(
    stored: tuple[Store, PackRecord, bytes],
) -> None:
    store, pack, _ = stored
    reads = DirectReads(store.pool, store.budget)
    for path in shard_files(Path(store.path)):
        path.unlink()
    assert reads.read(pack, 0, 100, buffer, Asked()) is None


def slow_reads(
    monkeypatch: pytest.MonkeyPatch, slow: Key, seconds: float, others: float
) -> tuple[list[float], list[Key]]:
    """Reads of the key `slow` take so many `seconds` of a clock of our own, all `others` that many.

    The clock, and the keys that are asked for from now on.
    """
    now, asked = [0.0], list[Key]()
    monkeypatch.setattr(direct_module.time, "monotonic", lambda: now[0])
    plain = LocalBackend.read_now

    def read_now(self: LocalBackend, key: Key, offset: int, out: memoryview) -> None:
        asked.append(key)
        now[0] += seconds if key == slow else others
        plain(self, key, offset, out)

    monkeypatch.setattr(LocalBackend, "read_now", read_now)
    return now, asked


async def test_a_slow_backend_is_decoded_around_until_its_time_is_over(
    stored: tuple[Store, PackRecord, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack, data = stored
    slow = store.pool.key(pack, 0)
    now, asked = slow_reads(monkeypatch, slow, 2 * SLOW, 0.0)
    reads = DirectReads(store.pool, store.budget)
    for wait, expected in [(0.0, True), (0.0, False), (BARRED, True), (BARRED, False)]:
        now[0] += wait
        del asked[:]
        assert reads.read(pack, 0, 100, buffer, Asked()) == data[:100]
        assert (slow in asked) is expected


async def test_a_backend_that_is_a_little_slow_again_and_again_is_decoded_around(
    stored: tuple[Store, PackRecord, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack, data = stored
    slow = store.pool.key(pack, 0)
    _, asked = slow_reads(monkeypatch, slow, SLOW / 4, SLOW / 400)
    reads = DirectReads(store.pool, store.budget)
    for _ in range(16):
        for shard in range(pack.k):
            at = shard * pack.shard
            assert reads.read(pack, at, 100, buffer, Asked()) == data[at : at + 100]
    assert asked.count(slow) <= 8


async def test_a_directory_that_hangs_is_read_another_way(
    stored: tuple[Store, PackRecord, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, _, _ = stored
    hanging, freed = list[Key](), threading.Event()

    def read_now(_self: LocalBackend, key: Key, _offset: int, _out: memoryview) -> None:
        hanging.append(key)
        freed.wait()

    monkeypatch.setattr(LocalBackend, "read_now", read_now)
    monkeypatch.setattr(loader, "PATIENCE", 0.01)
    try:
        assert await read(store, ADDRESS) == (tmp_path / "model").read_bytes()
    finally:
        freed.set()
    assert hanging


def test_who_may_be_read_so(tmp_path: Path) -> None:
    local = LocalBackend.create("d0", str(tmp_path / "d0"))
    assert direct(LimitBackend(local)) is local
    assert direct(FaultyBackend(local)) is None
    assert direct(LimitBackend(MemoryBackend("m"))) is None
