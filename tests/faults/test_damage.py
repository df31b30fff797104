"""Damage by name: read through it, found by verify, mended by repair, byte for byte."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfloat.backends.faulty import FaultyBackend, Name
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.shard import (
    TRAILER_SIZE,
    PackInfo,
    decode_tail,
    encode_tail,
    footer_length,
    join_tails,
)
from modelfloat.cas.index.records import ShardState
from modelfloat.cas.packs.builder import PackBuilder, SealedPack
from modelfloat.cas.store import Store
from modelfloat.errors import DamageError, UnavailableError
from modelfloat.ids import ChunkId, StoreId
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


def states(store: Store) -> list[ShardState]:
    """What is recorded of the shards of split packs."""
    return [state for pack in store.index.packs() if pack.k > 1 for state in pack.states]


def shard(store: Path, index: int) -> Path:
    """One shard of the only split pack."""
    return next(path for path in data_shards(store) if path.name == f"{index}-4-2")


async def stored_once(tmp_path: Path, size: int = 5_000_000) -> tuple[Path, bytes]:
    """A store of 4+2 with one model in it, closed."""
    data = weights(tmp_path / "model.safetensors", size)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


async def test_verify_without_repair_takes_nothing_away(tmp_path: Path) -> None:
    """Three shards damaged in three blocks: all is readable, and stays so once that is known."""
    path, data = await stored_once(tmp_path, 30_000_000)
    for index in range(3):
        flip_bit(shard(path, index), (2 * index + 1) * (1 << 20) + 5)
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 3
        assert states(store).count(ShardState.DAMAGED) == 3
    async with open_store(str(path)) as store:
        assert await read(store, ADDRESS) == data


@pytest.mark.parametrize("fault", ["unavailable", "denied"])
async def test_an_outage_while_verifying_says_nothing_of_the_shards(
    tmp_path: Path, fault: Name
) -> None:
    path, data = await stored_once(tmp_path)
    async with open_store(str(path)) as store:
        real = {member.name: member.backend for member in store.members}
        for member in list(store.members)[:3]:
            member.backend = FaultyBackend(member.backend)
            member.backend.inject(fault, on=["get", "head"], prefix="packs/")
        assert (await store.verify()).exit_status == 4
        assert set(states(store)) == {ShardState.GOOD}
        for member in store.members:
            member.backend = real[member.name]
            member.down = ""
        assert await read(store, ADDRESS) == data


async def test_a_damaged_footer_leaves_its_payload_good(tmp_path: Path) -> None:
    path, _ = await stored_once(tmp_path)
    flip_bit(shard(path, 0), -10)
    async with open_store(str(path)) as store:
        (problem,) = (await store.verify()).problems
        assert problem.problem == "damaged trailer"
        assert set(states(store)) == {ShardState.GOOD}


async def test_a_shard_that_was_lost_and_came_back_is_read(tmp_path: Path) -> None:
    path, data = await stored_once(tmp_path)
    places = [shard(path, index) for index in range(3)]
    for index, place in enumerate(places):
        place.rename(tmp_path / f"kept-{index}")
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 4
        assert states(store).count(ShardState.MISSING) == 3
    for index, place in enumerate(places):
        (tmp_path / f"kept-{index}").rename(place)
    async with open_store(str(path)) as store:
        assert await read(store, ADDRESS) == data


def forge(path: Path, change: Callable[[PackInfo], PackInfo]) -> None:
    """Give a shard a footer that is sound, and lies."""
    data = path.read_bytes()
    length = TRAILER_SIZE + footer_length(data[-TRAILER_SIZE:], "a shard")
    info = join_tails([decode_tail(data[-length:], "a shard")])
    assert info is not None
    path.write_bytes(data[:-length] + encode_tail(change(info), int(path.name[0])))


def other_store(info: PackInfo) -> PackInfo:
    return replace(info, store=StoreId(bytes(16)))


def other_kind(info: PackInfo) -> PackInfo:
    return replace(info, kind=Kind.OBJECT)


def other_chunk(info: PackInfo) -> PackInfo:
    first, *rest = info.chunks
    return replace(info, chunks=(replace(first, id=ChunkId(bytes(32))), *rest))


def fewer_blocks(info: PackInfo) -> PackInfo:
    return replace(info, shard=info.shard // 2, blocks=tuple(b[:32] for b in info.blocks))


def other_hashes(info: PackInfo) -> PackInfo:
    return replace(info, blocks=(*info.blocks[:-1], bytes(len(info.blocks[-1]))))


@pytest.mark.parametrize("index", [0, 5])
@pytest.mark.parametrize(
    "change", [other_store, other_kind, other_chunk, fewer_blocks, other_hashes]
)
async def test_a_forged_footer_never_wins(
    tmp_path: Path, change: Callable[[PackInfo], PackInfo], index: int
) -> None:
    path, data = await stored_once(tmp_path, 9_000_000)
    before = {file: file.read_bytes() for file in data_shards(path)}
    forge(shard(path, index), change)
    async with open_store(str(path)) as store:
        (problem,) = (await store.verify(repair=True)).problems
        assert (problem.index, problem.repaired) == (index, True)
        assert await read(store, ADDRESS) == data
    assert {file: file.read_bytes() for file in data_shards(path)} == before


async def test_of_two_copies_that_disagree_the_chunks_decide(tmp_path: Path) -> None:
    """A replicated pack of two: no majority, so the footer that its chunks confirm is right."""
    data = weights(tmp_path / "model", 200_000)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model")
        (pack,) = [pack for pack in store.index.packs() if pack.kind is Kind.DATA]
    copies = [p for p in shard_files(tmp_path / "store") if p.parent.name == pack.id.hex()]
    before = [copy.read_bytes() for copy in copies]
    forge(copies[0], other_chunk)
    async with open_store(str(tmp_path / "store")) as store:
        assert [p.repaired for p in (await store.verify(repair=True)).problems] == [True]
        assert await read(store, "acme/model/model") == data
    assert [copy.read_bytes() for copy in copies] == before


async def test_a_pack_wrong_before_it_was_sealed_does_not_end_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that flips a bit between hashing and sealing: lost, said so, and healed by an add."""
    data = weights(tmp_path / "model", label="one")
    weights(tmp_path / "other", 6_000_000, label="two")
    seal = PackBuilder.seal

    def flipped(builder: PackBuilder, *rest: Any) -> SealedPack:
        if builder._kind is Kind.DATA:
            builder._buffer[5] ^= 1
        return seal(builder, *rest)

    async with fresh_store(tmp_path / "store") as store:
        with monkeypatch.context() as patched:
            patched.setattr(PackBuilder, "seal", flipped)
            await add(store, tmp_path / "model")
        await add(store, tmp_path / "other")
        packs = [pack for pack in store.index.packs() if pack.k > 1]
        key = store.pool.key(packs[1], 0)
        holder = store.pool.holder(packs[1], 0)
        assert holder is not None
        await holder.backend.delete(key)
        report = await store.verify(repair=True)
        assert report.exit_status == 4
        assert report.lost == [packs[0].id.hex()]
        assert report.lost_files == ["acme/model@main/model"]
        assert [(p.pack, p.repaired) for p in report.problems] == [(packs[1].id.hex(), True)]
        assert (await add(store, tmp_path / "model")).new > 0
        assert await read(store, "acme/model/model") == data


async def test_a_journal_that_fails_does_not_end_repair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = await stored_once(tmp_path)

    async def fail(*_: object) -> None:
        raise UnavailableError("no backend takes a record")

    async with open_store(str(path)) as store:
        down = next(iter(store.members))
        down.down = "it is away"
        monkeypatch.setattr("modelfloat.cas.journal.journal.Journal.append", fail)
        report = await store.verify(repair=True)
        assert report.packs == 2
        shards = [p for p in report.problems if not p.pack.startswith("journal")]
        assert shards
        assert all("no backend takes a record" in p.problem for p in shards)
        assert not any(p.repaired for p in shards)
