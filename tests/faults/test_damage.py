"""Damage by name: read through it, found by verify, mended by repair, byte for byte."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.cas.formats.shard import TRAILER_SIZE
from modelfloat.errors import DamageError
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    fresh_store,
    read,
    shard_files,
    truncate,
    weights,
)

ADDRESS = "acme/model/model.safetensors"


def swap(shards: list[Path]) -> None:
    """Two shards of one pack change places."""
    one, two = shards[0].read_bytes(), shards[1].read_bytes()
    shards[0].write_bytes(two)
    shards[1].write_bytes(one)


DAMAGE: dict[str, Callable[[list[Path]], None]] = {
    "flip_bit": lambda shards: flip_bit(shards[0], 1000),
    "flip_bits_in_two_shards": lambda shards: [flip_bit(s, 77) for s in shards[:2]] and None,
    "flip_footer": lambda shards: flip_bit(shards[0], -TRAILER_SIZE - 40),
    "flip_trailer": lambda shards: flip_bit(shards[0], -3),
    "truncate": lambda shards: truncate(shards[0], 1000),
    "truncate_by_one": lambda shards: truncate(shards[0], shards[0].stat().st_size - 1),
    "empty": lambda shards: truncate(shards[0], 0),
    "lose": lambda shards: shards[0].unlink(),
    "lose_two": lambda shards: [s.unlink() for s in shards[:2]] and None,
    "swap_shards": swap,
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_damage_is_served_found_and_mended(tmp_path: Path, name: str) -> None:
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    shards = data_shards(tmp_path / "store")
    before = {path: path.read_bytes() for path in shards}
    DAMAGE[name](shards)
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, ADDRESS) == data
        found = await store.verify()
        assert found.exit_status == 3
        assert not any(problem.repaired for problem in found.problems)
        repaired = await store.verify(repair=True)
        assert all(problem.repaired for problem in repaired.problems)
        assert len(repaired.problems) == len(found.problems)
        assert (await store.verify()).exit_status == 0
    assert {path: path.read_bytes() for path in shards} == before


async def test_scattered_damage_is_mended_block_by_block(tmp_path: Path) -> None:
    """Every shard is damaged, but never more than two at the same block."""
    data = weights(tmp_path / "model.safetensors", 20_000_000)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    for number, shard in enumerate(data_shards(tmp_path / "store")):
        flip_bit(shard, (number // 2) * (1 << 20) + 5)
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, ADDRESS) == data
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0


async def test_too_much_damage_is_an_error_never_zeros(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    for shard in data_shards(tmp_path / "store")[:3]:
        flip_bit(shard, 1000)
    async with open_store(str(tmp_path / "store")) as store:
        with pytest.raises(DamageError):
            await read(store, ADDRESS)
        report = await store.verify(repair=True)
        assert report.exit_status == 4
        assert report.lost_files == ["acme/model@main/model.safetensors"]


async def test_a_shard_of_another_store_is_not_taken(tmp_path: Path) -> None:
    data = weights(tmp_path / "model.safetensors")
    for name in ("store", "other"):
        async with fresh_store(tmp_path / name) as store:
            await add(store, tmp_path / "model.safetensors")
    shutil.copy(data_shards(tmp_path / "other")[0], data_shards(tmp_path / "store")[0])
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, ADDRESS) == data
        (problem,) = (await store.verify(repair=True)).problems
        assert problem.repaired
        assert (await store.verify()).exit_status == 0


async def test_damaged_copies_of_objects_are_mended(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    copies = [p for p in shard_files(tmp_path / "store") if p.name.endswith("-1-2")]
    assert len(copies) == 3
    for path in copies[:2]:
        flip_bit(path, 9)
    async with open_store(str(tmp_path / "store")) as store:
        assert len((await store.verify(repair=True)).problems) == 2
        assert (await store.verify()).exit_status == 0


async def test_adding_again_heals_what_is_lost(tmp_path: Path) -> None:
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    for shard in data_shards(tmp_path / "store")[:3]:
        shard.unlink()
    async with open_store(str(tmp_path / "store")) as store:
        assert (await store.verify()).exit_status == 4
        report = await add(store, tmp_path / "model.safetensors")
        assert report.new > 0
        assert await read(store, ADDRESS) == data


async def test_lost_journal_copies_are_written_again(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    copies = sorted((tmp_path / "store" / "backends").glob("*/journal/*/*"))
    copies[0].unlink()
    flip_bit(copies[1], 200)
    async with open_store(str(tmp_path / "store")) as store:
        assert len((await store.verify()).problems) == 2
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0
