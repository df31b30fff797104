"""Reading what can still be had: from another copy, from whole packs, by many at once."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.packs.pool import Pool
from modelfloat.cas.read import lastresort
from modelfloat.cas.read.budget import MemoryBudget
from modelfloat.cas.read.wholepacks import BARRED, IDLE, KEPT, WholePacks
from modelfloat.cas.refnames import parse_address
from modelfloat.errors import DamageError, DataLostError
from modelfloat.ids import PackId, PackNumber
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    fresh_store,
    read,
    weights,
)

ADDRESS = "acme/model/model"


async def stored_twice(path: Path) -> bytes:
    """A file whose chunks lie in two packs: the first counted as lost when it was added again."""
    data = weights(path / "model")
    async with fresh_store(path / "store") as store:
        await add(store, path / "model", "acme/model")
        (first,) = [pack for pack in store.index.packs() if pack.k > 1]
        lost = {(first.number, shard): ShardState.MISSING for shard in range(3)}
        await store.index.write(store.index.note_damage, lost)
        again = AddRequest([str(path / "model")], parse_address("acme/again"), reread=True)
        await store.carry_out(again)
        assert (await store.verify()).exit_status == 0
        assert len([pack for pack in store.index.packs() if pack.kind is Kind.DATA]) == 2
    return data


@pytest.mark.parametrize("damage", ["lose", "flip_bit"])
@pytest.mark.parametrize("which", [0, 1])
async def test_the_other_copy_serves(tmp_path: Path, which: int, damage: str) -> None:
    data = await stored_twice(tmp_path)
    packs = sorted({path.parent for path in data_shards(tmp_path / "store")})
    shards = [p for p in data_shards(tmp_path / "store") if p.parent.name == packs[which].name]
    for path in shards[:3]:
        if damage == "lose":
            path.unlink()
        else:
            flip_bit(path, 5)
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, ADDRESS) == data


@pytest.mark.parametrize("damage", ["lose", "flip_bit"])
async def test_what_the_error_advises_heals(tmp_path: Path, damage: str) -> None:
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
        shards = data_shards(tmp_path / "store")
        for path in shards[:3]:
            if damage == "lose":
                path.unlink()
            else:
                flip_bit(path, 5)
        with pytest.raises(
            DataLostError, match="`modelfloat verify`; if it finds files lost, add those again"
        ) as told:
            await read(store, ADDRESS)
        assert shards[0].parent.name in str(told.value)
        await store.verify()
        assert (await add(store, tmp_path / "model")).new > 0
        assert await read(store, ADDRESS) == data


async def test_what_is_mended_while_it_is_read_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
        sound = {path: path.read_bytes() for path in data_shards(tmp_path / "store")[:3]}
        for path in sound:
            flip_bit(path, 5)
        real, failed = lastresort.load_sound, list[DamageError]()

        async def load(*args: Any) -> memoryview:
            try:
                return await real(*args)
            except DamageError as error:
                failed.append(error)
                for path, before in sound.items():
                    path.write_bytes(before)
                raise

        monkeypatch.setattr(lastresort, "load_sound", load)
        assert await read(store, ADDRESS) == data
    assert failed


async def test_damage_that_is_met_with_each_chunk_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "modelfloat.cas.read.lastresort")
    data = weights(tmp_path / "model")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model")
    for path in data_shards(tmp_path / "store")[:2]:
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    told: list[logging.LogRecord] = []
    for _ in range(10):  # a busy machine reads parity in time instead
        async with open_store(str(tmp_path / "store")) as store:
            assert await read(store, ADDRESS) == data
        told = [record for record in caplog.records if "does not verify" in record.getMessage()]
        if told:
            break
    assert sum(record.levelno >= logging.WARNING for record in told) == 1
    assert sum(record.levelno == logging.DEBUG for record in told) > 0


async def test_many_read_a_degraded_store_at_once(tmp_path: Path) -> None:
    files = {name: weights(tmp_path / name, 12_000_000, name) for name in ("a", "b", "c", "d")}
    async with fresh_store(tmp_path / "store") as store:
        for name in files:
            await add(store, tmp_path / name, f"acme/{name}")
    for name in ("d0", "d1"):
        shutil.move(tmp_path / "store" / "backends" / name, tmp_path)
    found: dict[str, bytes] = {}
    async with open_store(str(tmp_path / "store")) as store, trio.open_nursery() as nursery:

        async def read_one(name: str) -> None:
            found[name] = await read(store, f"acme/{name}/{name}")

        for name in files:
            nursery.start_soon(read_one, name)
    assert found == files


SHARD = 64 << 10


class LostShard(Pool):
    """Packs of four shards, the first of which is lost; counts what is loaded whole."""

    def __init__(self) -> None:
        self.loaded: list[PackId] = []
        self.fails = False

    def usable(self, record: PackRecord, index: int) -> bool:
        return index > 0

    def prompt(self, record: PackRecord, index: int) -> bool:
        return self.usable(record, index)

    async def load_whole(self, record: PackRecord, out: memoryview, spare: object) -> None:
        self.loaded.append(record.id)
        await trio.lowlevel.checkpoint()
        if self.fails:
            raise DataLostError("gone")
        out[:16] = record.id


class Readers:
    """Sequential readers of whole packs."""

    def __init__(self) -> None:
        self.pool = LostShard()
        self.budget = MemoryBudget(1 << 30)
        self.whole = WholePacks(self.pool, self.budget)

    async def visit(self, number: int, offset: int = 0, size: int = 16) -> bool:
        """Read a range of a pack; whether it came from the whole pack."""
        record = pack(number)
        async with self.whole.reading(record, offset, size, sequential=True) as data:
            if data is not None and offset == 0:
                assert bytes(data[:16]) == record.id
            return data is not None


def pack(number: int) -> PackRecord:
    """A pack of four shards and two of parity."""
    id_ = PackId(number.to_bytes(16, "big"))
    number_ = PackNumber(number)
    return PackRecord(number_, id_, 4, 2, Kind.DATA, 4 * SHARD, SHARD, 4 * SHARD, 4, 0, (), ())


async def test_a_pack_is_loaded_whole_at_the_second_visit() -> None:
    readers = Readers()
    assert not await readers.visit(1)
    assert await readers.visit(1)
    assert await readers.visit(1, SHARD)
    assert len(readers.pool.loaded) == 1


async def test_a_pack_is_not_loaded_whole_for_a_rest_that_ranges_give_cheaper() -> None:
    readers = Readers()
    for _ in range(3):
        assert not await readers.visit(1, SHARD)
    assert not readers.pool.loaded


async def test_packs_that_are_read_are_not_pushed_out(autojump_clock: object) -> None:
    readers = Readers()
    for _ in range(10):
        for number in range(KEPT + 3):
            await readers.visit(number)
    assert len(readers.pool.loaded) == KEPT
    await readers.visit(0, 4 * SHARD - 16)
    assert await readers.visit(KEPT)
    assert readers.pool.loaded[-1] == pack(KEPT).id


async def test_a_pack_left_in_the_middle_goes_but_is_not_soon_loaded_again(
    autojump_clock: object,
) -> None:
    readers = Readers()
    for number in [*range(KEPT), *range(KEPT)]:
        await readers.visit(number)
    await trio.sleep(2 * IDLE)
    for number in range(KEPT, 2 * KEPT):
        await readers.visit(number)
        assert await readers.visit(number)
    await trio.sleep(2 * IDLE)
    assert not await readers.visit(0)
    await trio.sleep(BARRED)
    assert await readers.visit(0)


async def test_a_pack_in_use_stays(autojump_clock: object) -> None:
    readers = Readers()
    for number in [*range(KEPT), *range(KEPT)]:
        await readers.visit(number)
    async with readers.whole.reading(pack(0), 4 * SHARD - 16, 16, sequential=True) as data:
        assert data is not None
        await trio.sleep(2 * IDLE)
        for number in range(KEPT, 2 * KEPT - 1):
            assert not await readers.visit(number)
            assert await readers.visit(number)
        for _ in range(2):
            assert not await readers.visit(2 * KEPT)
        assert await readers.visit(0)


async def test_a_pack_that_cannot_be_decoded_is_not_soon_tried_again(
    autojump_clock: object,
) -> None:
    readers = Readers()
    readers.pool.fails = True
    for _ in range(5):
        assert not await readers.visit(1)
    assert len(readers.pool.loaded) == 1
    readers.pool.fails = False
    await trio.sleep(BARRED + 1)
    assert await readers.visit(1)


async def test_a_load_that_is_cancelled_lets_the_others_read_on() -> None:
    readers = Readers()
    await readers.visit(1)
    found: list[bool] = []

    async def wait() -> None:
        found.append(await readers.visit(1))

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as loading:
                loading.start_soon(readers.visit, 1)
                await trio.lowlevel.checkpoint()
                nursery.start_soon(wait)
                await trio.lowlevel.checkpoint()
                scope.cancel()
    assert len(found) == 1
    assert await readers.visit(1)


async def test_a_pack_is_not_loaded_whole_where_memory_is_short(autojump_clock: object) -> None:
    """Nor is it charged when it could not be; and when it leaves it is charged no more."""
    readers = Readers()
    readers.budget.charge(readers.budget.limit - 1)
    for _ in range(3):
        assert not await readers.visit(1)
    assert readers.pool.loaded == []
    readers.budget.give(readers.budget.limit - 1)
    assert await readers.visit(1)
    assert readers.budget.used > 64 << 20
    readers.pool.fails = True
    used = readers.budget.used
    for _ in range(2):
        assert not await readers.visit(2)
    assert len(readers.pool.loaded) == 2
    assert readers.budget.used == used
