"""The memory that decoding takes: small where the budget is, and charged to it meanwhile."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from modelfloat.cas.formats.shard import BLOCK
from modelfloat.cas.index.records import PackRecord
from modelfloat.cas.packs.decodings import DECODINGS, GATHERED, SCRATCH, Decodings
from modelfloat.cas.packs.members import Member
from modelfloat.cas.packs.scrutiny import load_sound
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.memorylimit import LEAST
from modelfloat.cas.read.options import ReadOptions
from modelfloat.cas.store import Store
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, data_shards, flip_bit, fresh_store, weights


def buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[tuple[Store, PackRecord]]:
    """A store that may take as little memory as there is, and its data pack."""
    weights(tmp_path / "model", 24_000_000)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
    async with open_store(str(tmp_path / "store"), reading=ReadOptions(memory=LEAST)) as store:
        (pack,) = [pack for pack in store.index.packs() if pack.k > 1]
        yield store, pack


@pytest.mark.parametrize("k", [1, 4, 10])
@pytest.mark.parametrize("limit", [LEAST, 256 << 20, 1 << 30])
def test_all_gatherings_together_take_less_than_half(limit: int, k: int) -> None:
    decodings = Decodings(MemoryBudget(limit))
    assert DECODINGS * k * decodings.step(k) < limit / 2
    assert min(GATHERED // k, SCRATCH) >= decodings.step(k) > 0


async def test_a_turn_is_charged_and_given_back_when_it_is_cancelled() -> None:
    budget = MemoryBudget(LEAST)
    with trio.CancelScope() as scope:
        async with Decodings(budget).turn(1000):
            assert budget.used == 1000
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert budget.used == 0


async def test_ranges_that_are_decoded_are_charged_and_asked_for_in_small_steps(
    stored: tuple[Store, PackRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = stored
    whole = bytes(await store.pool.load(pack, 0, pack.shard, buffer))
    member = store.pool.holder(pack, 0)
    assert member is not None
    assert store.budget.peak == 0
    sizes: list[int] = []
    fetched = store.counters.note_fetched

    def note(member: Member, size: int, seconds: float) -> None:
        sizes.append(size)
        fetched(member, size, seconds)

    monkeypatch.setattr(store.pool._fetcher, "fetched", note)
    member.down = "for a test"
    assert await store.pool.load(pack, 0, pack.shard, buffer) == whole
    assert max(sizes) == store.pool.decodings.step(pack.k) < pack.shard
    assert store.budget.peak == pack.k * max(sizes)
    assert store.budget.used == 0


async def test_blocks_that_are_checked_are_charged(
    stored: tuple[Store, PackRecord], tmp_path: Path
) -> None:
    store, pack = stored
    data = bytes(await store.pool.load(pack, 0, BLOCK, buffer))
    for path in data_shards(tmp_path / "store")[:2]:
        flip_bit(path, 5)
    assert await load_sound(store.pool, pack, 0, BLOCK) == data
    assert store.budget.peak == pack.n * BLOCK
    assert store.budget.used == 0
