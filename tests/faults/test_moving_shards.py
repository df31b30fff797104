"""Shards moved off backends and to new ones: nothing is lost, nothing moves that need not."""

import shutil
from pathlib import Path

import pytest

from modelfloat.backendchanges import add_backend
from modelfloat.cas.packs.placement import Candidate, crowding, limits, place
from modelfloat.cas.progress import Progress
from modelfloat.cas.verify.moveplan import away, spread
from modelfloat.cas.verify.movereport import MovePlan
from modelfloat.cas.verify.moving import Goal, Moving
from modelfloat.config import read_config
from modelfloat.creating import BackendSpec
from modelfloat.draining import MoveRequest, drain_backend, rebalance, stop_draining
from modelfloat.errors import BusyError
from modelfloat.ids import BackendId
from modelfloat.opening import open_store
from modelfloat.retiring import remove_backend
from modelfloat.tests.support.metered import metered
from modelfloat.tests.support.stores import (
    add,
    flip_bit,
    fresh_store,
    read,
    weights,
)


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 2+1 on four directories outside of it, with a model, closed."""
    data = weights(tmp_path / "model.safetensors", 6_000_000)
    specs = tuple(BackendSpec(f"b{i}", str(tmp_path / f"b{i}")) for i in range(4))
    async with fresh_store(tmp_path / "store", "2+1", specs) as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def shards_on(path: Path, name: str) -> list[Path]:
    return sorted((path.parent / name / "packs").glob("*/*/*"))


def fullest(path: Path) -> str:
    """The backend with the longest shard: pack ids are random, so it may be any."""
    shards = [shard for i in range(4) for shard in shards_on(path, f"b{i}")]
    return max(shards, key=lambda shard: shard.stat().st_size).parts[-5]


async def check_clean(path: Path, data: bytes) -> None:
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])


def state(path: Path, name: str) -> str | None:
    return next(each.state for each in read_config(str(path)).backends if each.name == name)


async def test_a_drained_backend_is_empty_and_gets_nothing_more(
    stored: tuple[Path, bytes],
) -> None:
    path, data = stored
    name = fullest(path)
    before = shards_on(path, name)
    plans: list[MovePlan] = []
    moved = await drain_backend(str(path), name, MoveRequest(announce=plans.append))
    assert (moved.left, moved.report.shards, moved.report.stayed) == (0, len(before), 0)
    assert plans == [moved.plan]
    assert moved.plan.shards == len(before)
    assert moved.plan.bytes == moved.report.bytes
    assert shards_on(path, name) == []
    assert state(path, name) == "draining"
    await check_clean(path, data)
    weights(path.parent / "more", 4_000_000, "more")
    async with open_store(str(path)) as store:
        await add(store, path.parent / "more", "acme/more")
    assert shards_on(path, name) == []


async def test_draining_can_be_stopped(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    await drain_backend(str(path), "b1", MoveRequest())
    await stop_draining(str(path), "b1")
    assert state(path, "b1") is None


async def test_a_dry_run_changes_nothing(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    name = fullest(path)
    before = shards_on(path, name)
    moved = await drain_backend(str(path), name, MoveRequest(dry_run=True))
    assert moved.plan.shards == moved.left == len(before)
    assert shards_on(path, name) == before
    assert state(path, name) is None


async def test_what_would_survive_less_is_refused_unless_forced(
    stored: tuple[Path, bytes],
) -> None:
    path, data = stored
    await remove_backend(str(path), "b3")
    before = shards_on(path, "b1")
    with pytest.raises(BusyError, match="without b1 less would survive"):
        await drain_backend(str(path), "b1", MoveRequest())
    assert (shards_on(path, "b1"), state(path, "b1")) == (before, None)
    moved = await drain_backend(str(path), "b1", MoveRequest(force=True))
    assert (moved.left, shards_on(path, "b1")) == (0, [])
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data


async def test_shards_of_a_dead_backend_are_made_again(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    name = fullest(path)
    count = len(shards_on(path, name))
    shutil.rmtree(path.parent / name)
    moved = await remove_backend(str(path), name)
    assert (moved.left, moved.report.remade, moved.report.shards) == (0, count, count)
    assert [each.name for each in read_config(str(path)).backends] == sorted(
        {"b0", "b1", "b2", "b3"} - {name}
    )
    await check_clean(path, data)


async def test_damage_is_not_moved(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    name = fullest(path)
    victim = max(shards_on(path, name), key=lambda shard: shard.stat().st_size)
    flip_bit(victim, 1000)
    moved = await drain_backend(str(path), name, MoveRequest())
    assert (moved.left, moved.report.remade) == (0, 1)
    await check_clean(path, data)


async def test_copies_of_journal_records_are_kept(stored: tuple[Path, bytes]) -> None:
    """With everything of a drained backend gone the index can be made anew."""
    path, data = stored
    name = fullest(path)
    await remove_backend(str(path), name)
    shutil.rmtree(path.parent / name)
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/model.safetensors") == data


async def test_a_new_backend_gets_its_part_and_no_more(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    for number in range(6):
        weights(path.parent / f"w{number}", 2_500_000, f"w{number}")
        async with open_store(str(path)) as store:
            await add(store, path.parent / f"w{number}", f"acme/w{number}")
    await add_backend(str(path), "b4", str(path.parent / "b4"))
    assert shards_on(path, "b4") == []
    old = {shard for name in ("b0", "b1", "b2", "b3") for shard in shards_on(path, name)}
    moved = await rebalance(str(path), MoveRequest())
    assert {move.target for move in moved.plan.moves} == {"b4"}
    assert len(shards_on(path, "b4")) == moved.report.shards == moved.plan.shards > 0
    now = {shard for name in ("b0", "b1", "b2", "b3") for shard in shards_on(path, name)}
    assert now < old
    await check_clean(path, data)
    again = await rebalance(str(path), MoveRequest())
    assert (again.plan.shards, again.report.shards) == (0, 0)


async def test_a_move_reads_what_it_moves_and_nothing_else(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    name = fullest(path)
    async with open_store(str(path)) as store:
        leaving = next(member.id for member in store.members if member.name == name)
        traffic = metered(store)
        moving = Moving(store.index, store.pool, store.scheme)
        async with store.access.moving("a test") as journal:
            report = await moving.run(Goal(leaving), journal, Progress())
        assert sum(n for key, n in traffic.read.items() if key.startswith("packs/")) == report.bytes


def candidates(count: int, domains: int) -> list[Candidate]:
    return [Candidate(BackendId(bytes([i + 1]) * 16), f"{i % domains}", 1.0) for i in range(count)]


SHAPES = [(4, 2, 7, 7), (4, 2, 6, 3), (2, 1, 4, 4), (8, 1, 2, 2), (1, 2, 5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_leaves_lies_no_closer_than_it_must(shape: tuple[int, int, int, int]) -> None:
    k, m, backends, domains = shape
    everyone = candidates(backends, domains)
    by_id = {candidate.id: candidate for candidate in everyone}
    for number in range(40):
        seed = bytes([number]) * 16
        most = limits(m, k + m, everyone)
        where = [by_id[id_] for id_ in place(seed, everyone, k + m, most=most)]
        leaving = where[0].id
        staying = [candidate for candidate in everyone if candidate.id != leaving]
        most = limits(m, k + m, staying)
        moves = away(seed, where, leaving, staying, most)
        assert set(moves) == {i for i, c in enumerate(where) if c.id == leaving}
        after = [by_id[to] if (to := moves.get(i)) else c for i, c in enumerate(where)]
        assert leaving not in {c.id for c in after}
        assert not crowding(after).exceeds(most)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_spread_lies_as_placement_wants(shape: tuple[int, int, int, int]) -> None:
    k, m, backends, domains = shape
    everyone = candidates(backends, domains)
    by_id = {candidate.id: candidate for candidate in everyone}
    for number in range(40):
        seed = bytes([number]) * 16
        few = everyone[:-1]
        where = [by_id[i] for i in place(seed, few, k + m, most=limits(m, k + m, few))]
        most = limits(m, k + m, everyone)
        wanted = place(seed, everyone, k + m, most=most)
        moves = spread(seed, where, everyone, most)
        after = [moves.get(i, c.id) for i, c in enumerate(where)]
        assert sorted(after) == sorted(wanted)
        assert spread(seed, [by_id[id_] for id_ in after], everyone, most) == {}
