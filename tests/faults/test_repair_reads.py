"""What a repair reads: k shards of each pack, once, however many are lost; the rest in doubt."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.keys import shard_key
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.store import Store
from modelfloat.cas.verify.checkorder import VerifyRequest, select
from modelfloat.cas.verify.packreads import PackRoom
from modelfloat.opening import open_store
from modelfloat.tests.support.metered import metered
from modelfloat.tests.support.stores import add, flip_bit, fresh_store, read, weights

TAIL = 20_000
"""More bytes than the footers of a pack of these tests take."""


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 4+2 over six directories with one model in it, closed."""
    data = weights(tmp_path / "model.safetensors", 12_000_000)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def empty(path: Path, *names: str) -> None:
    """Lose all shards of some directories; their markers stay."""
    for name in names:
        shutil.rmtree(path / "backends" / name / "packs")


def folder(pack: PackRecord) -> str:
    return shard_key(pack.id, 0, pack.k, pack.m).rpartition("/")[0]


@pytest.mark.parametrize("lost", [("d1",), ("d1", "d4")])
async def test_k_shards_are_read_and_each_once(
    stored: tuple[Path, bytes], lost: tuple[str, ...]
) -> None:
    path, data = stored
    empty(path, *lost)
    async with open_store(str(path)) as store:
        packs = [pack for pack in store.index.packs() if pack.k > 1]
        traffic = metered(store)
        report = await store.verify(repair=True)
        assert report.exit_status == 3
        assert all(problem.repaired for problem in report.problems)
        for pack in packs:
            wanted = pack.k * pack.shard
            assert wanted <= traffic.read[folder(pack)] <= wanted + TAIL
            assert traffic.written[folder(pack)] >= len(lost) * pack.shard
        shards = {key: size for key, size in traffic.written.items() if key.startswith("packs/")}
        assert report.bytes_written == sum(shards.values())
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/model.safetensors") == data


async def test_each_shard_is_asked_once_for_its_size_and_once_for_bytes(
    stored: tuple[Path, bytes],
) -> None:
    path, _ = stored
    empty(path, "d1")
    async with open_store(str(path)) as store:
        lost = next(member.id for member in store.members if member.name == "d1")
        packs = [pack for pack in store.index.packs() if lost in pack.backends]
        traffic = metered(store)
        await store.verify(repair=True)
        for pack in packs:
            keys = [store.pool.key(pack, index) for index in range(pack.n)]
            assert [traffic.heads[key] for key in keys] == [1] * pack.n
            asked = [int(backend != lost) for backend in pack.backends]
            assert [traffic.gets[key] for key in keys] == asked


async def test_what_was_not_read_counts_as_not_checked(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    empty(path, "d2")
    async with open_store(str(path)) as store:
        gone = next(member.id for member in store.members if member.name == "d2")
        # A small pack may have none there.
        hurt = [pack for pack in store.index.packs() if gone in pack.backends]
        report = await store.verify(repair=True)
        assert report.unread == sum(pack.m - 1 for pack in hurt)
        checked = {pack.number for pack in store.index.packs() if pack.checked_ns}
        assert not checked & {pack.number for pack in hurt}
        await store.verify()
        assert all(pack.checked_ns for pack in store.index.packs())


async def test_damage_in_what_was_read_makes_it_read_the_rest(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    empty(path, "d3")
    async with open_store(str(path)) as store:
        pack = next(pack for pack in store.index.packs() if pack.k > 1)
        lost = next(m.id for m in store.members if m.name == "d3")
        victim = next(i for i in range(pack.n) if pack.backends[i] != lost)
        name = store.members.name_of(pack.backends[victim])
        flip_bit(path / "backends" / name / store.pool.key(pack, victim), 1000)
        report = await store.verify(repair=True)
        mended = {(p.index, p.repaired) for p in report.problems if p.pack == pack.id.hex()}
        assert mended == {(victim, True), (pack.backends.index(lost), True)}
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/model.safetensors") == data


async def test_a_spare_shard_that_rots_is_found_by_the_next_check(
    stored: tuple[Path, bytes],
) -> None:
    path, _ = stored
    empty(path, "d0")
    async with open_store(str(path)) as store:
        pack = next(pack for pack in store.index.packs() if pack.k > 1)
        lost = next(m.id for m in store.members if m.name == "d0")
        spare = max(i for i in range(pack.n) if pack.backends[i] != lost)
        name = store.members.name_of(pack.backends[spare])
        flip_bit(path / "backends" / name / store.pool.key(pack, spare), 1000)
        await store.verify(repair=True)
        found = await store.verify(repair=True)
        assert [(p.index, p.repaired) for p in found.problems] == [(spare, True)]
        assert (await store.verify()).exit_status == 0


def on(store: Store, name: str) -> dict[PackRecord, int]:
    """The packs that have a shard on a backend, and which."""
    id_ = next(member.id for member in store.members if member.name == name)
    return {pack: pack.backends.index(id_) for pack in store.index.packs() if id_ in pack.backends}


def rot(path: Path, store: Store, name: str) -> int:
    """Flip a bit of every shard on a backend; how many."""
    shards = on(store, name)
    for pack, index in shards.items():
        flip_bit(path / "backends" / name / store.pool.key(pack, index), 20)
    return len(shards)


async def several(path: Path, size: int = 1_500_000, count: int = 6) -> None:
    """A store of 4+2 over six directories with a pack for each of so many models."""
    async with fresh_store(path) as store:
        for number in range(count):
            weights(path.parent / f"{number}", size, f"{number}")
            await add(store, path.parent / f"{number}", f"acme/m{number}")


async def test_one_repair_is_enough_where_another_backend_rots(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await several(path)
    async with open_store(str(path)) as store:
        rotten, lost = rot(path, store, "d1"), len(on(store, "d0"))
        empty(path, "d0")
        report = await store.verify(repair=True)
        mended = Counter(p.backend for p in report.problems if p.repaired)
        assert mended == {"d0": lost, "d1": rotten}
        # What lies on the others was never in doubt.
        spares = sum(pack.n - pack.k for pack in on(store, "d0"))
        assert 0 < report.unread < spares
        assert (await store.verify()).exit_status == 0


async def test_shards_left_out_are_read_once_their_backend_shows_rot(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await several(path)
    async with open_store(str(path)) as store:
        split = [pack for pack in store.index.packs() if pack.k > 1]
        last = max(split, key=lambda pack: pack.number)
        ends = {name: (on(store, name)[last], name) for name in ("d2", "d3", "d4", "d5")}
        (_, name) = min(ends.values())  # a data shard, which is read
        there = on(store, name)
        flip_bit(path / "backends" / name / store.pool.key(last, there[last]), 1000)
        empty(path, "d0")
        traffic = metered(store)
        report = await store.verify(repair=True)
        assert [p.backend for p in report.problems if p.pack == last.id.hex()].count(name) == 1
        # Everything on the one that showed rot was read, and of the others no more than k.
        assert all(traffic.gets[store.pool.key(*shard)] for shard in there.items())
        for pack in set(split) - {last}:
            most = pack.k + (there[pack] >= pack.k)
            assert traffic.read[folder(pack)] <= most * pack.shard + TAIL
        assert (await store.verify()).exit_status == 0


async def test_what_was_read_after_all_counts_as_checked(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await several(path)
    async with open_store(str(path)) as store:
        rot(path, store, "d1")
        empty(path, "d0")
        split = {p.number for p in on(store, "d0") if p.k > 1} & {p.number for p in on(store, "d1")}
        assert split
        await store.verify(repair=True)
        checked = {pack.number for pack in store.index.packs() if pack.checked_ns}
        assert split <= checked


async def test_a_pack_that_lost_what_others_kept_is_read_whole(tmp_path: Path) -> None:
    """One repair is enough for it, spare shards and all."""
    path = tmp_path / "store"
    await several(path)
    async with open_store(str(path)) as store:
        pack = max(on(store, "d0"), key=lambda pack: (pack.k > 1, pack.number))
        lost = on(store, "d0")[pack]
        spare = max(index for index in range(pack.n) if index != lost)
        (path / "backends" / "d0" / store.pool.key(pack, lost)).unlink()
        name = store.members.name_of(pack.backends[spare])
        flip_bit(path / "backends" / name / store.pool.key(pack, spare), 20)
        report = await store.verify(repair=True)
        assert report.unread == 0
        assert {(p.index, p.repaired) for p in report.problems} == {(lost, True), (spare, True)}
        assert (await store.verify()).exit_status == 0
        assert all(pack.checked_ns for pack in store.index.packs())


async def test_a_pack_that_lost_what_others_kept_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "store"
    await several(path)
    async with open_store(str(path)) as store:
        pack = max(on(store, "d0"), key=lambda pack: (pack.k > 1, pack.number))
        (path / "backends" / "d0" / store.pool.key(pack, on(store, "d0")[pack])).unlink()
        traffic = metered(store)
        report = await store.verify(repair=True)
        assert (report.exit_status, report.unread) == (3, 0)
        wanted = (pack.n - 1) * pack.shard
        assert wanted <= traffic.read[folder(pack)] <= wanted + 2 * TAIL


async def test_packs_with_nothing_to_spare_come_first(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        for label in ("one", "two", "three"):
            weights(tmp_path / label, 3_000_000, label)
            await add(store, tmp_path / label, f"acme/{label}")
        data = [pack for pack in store.index.packs() if pack.k > 1]
        _forget(store, data[2], 2)
        _forget(store, data[1], 1)
        asked = store.index, store.objects, store.refs, VerifyRequest(), store.members.is_up
        order = [int(number) for number in select(*asked).numbers]
        assert order[:2] == [data[2].number, data[1].number]
        assert order[-1] == data[0].number


def _forget(store: Store, pack: PackRecord, count: int) -> None:
    store.index.note_damage({(pack.number, i): ShardState.MISSING for i in range(count)})


class Charged:
    """A budget that remembers the most that was charged."""

    limit = 100

    def __init__(self) -> None:
        self.used = 0
        self.peak = 0

    def charge(self, size: int) -> None:
        self.used += size
        self.peak = max(self.peak, self.used)

    def give(self, size: int) -> None:
        self.used -= size


async def test_packs_are_held_within_their_part_of_the_budget(autojump_clock: MockClock) -> None:
    budget = Charged()
    room = PackRoom(budget)

    async def hold(size: int) -> None:
        async with room.holding(size):
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        for size in (20, 20, 20, 20):
            nursery.start_soon(hold, size)
    assert (budget.peak, budget.used) == (40, 0)
    async with room.holding(500):
        assert budget.used == 500
