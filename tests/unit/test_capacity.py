"""Capacities: a backend holds no more shards than it may, and the others take the rest."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backendchanges import add_backend, change_backend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.add.estimate import Room, fits
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.capacity import shard_size, stored_size
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.packs.placement import Candidate
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.room import Room as Space
from modelfloat.cas.room import room_of
from modelfloat.cli.backendspec import parse_changes
from modelfloat.config import read_config, write_config
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import NotFoundError, QuotaError, UsageError
from modelfloat.ids import BackendId, PackId, PackNumber, StoreId, random_backend_id
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, read, weights

MB = 1_000_000


def six(folder: Path, *capacities: int | None) -> tuple[BackendSpec, ...]:
    """Six directories, each a domain of its own, the first ones with capacities."""
    most = [*capacities, *[None] * (6 - len(capacities))]
    return tuple(
        BackendSpec(f"d{i}", str(folder / f"d{i}"), f"host{i}", 1.0, each)
        for i, each in enumerate(most)
    )


def on_disk(folder: Path) -> Counter[str]:
    """Bytes of shards in each directory."""
    found: Counter[str] = Counter()
    for path in folder.glob("d*/packs/*/*/*"):
        found[path.relative_to(folder).parts[0]] += path.stat().st_size
    return found


async def test_a_backend_holds_no_more_than_it_may(tmp_path: Path) -> None:
    """Of 12 MB as 4+2 each of six would hold 3; one that may hold 1 leaves the rest to others."""
    contents = {}
    async with fresh_store(tmp_path / "s", "4+2", six(tmp_path, 1 * MB)) as store:
        for number in range(4):
            source = tmp_path / f"w{number}.safetensors"
            contents[number] = weights(source, 3 * MB, f"w{number}")
            await add(store, source)
        used = on_disk(tmp_path)
        assert 0.6 * MB < used["d0"] <= 1 * MB
        assert min(used[f"d{i}"] for i in range(1, 6)) > 2.5 * MB
        status = {each.name: each for each in await store.backends()}
        assert (status["d0"].capacity, status["d0"].used) == (1 * MB, used["d0"])
        assert status["d0"].free == 1 * MB - used["d0"]
        for number, content in contents.items():
            assert await read(store, f"acme/model/w{number}.safetensors") == content
        assert (await store.verify()).problems == []


async def test_a_repair_does_not_put_shards_where_there_is_no_room(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "s", "2+1", six(tmp_path, *[5 * MB] * 3, 1)[:4]) as store:
        weights(tmp_path / "w", 3 * MB)
        await add(store, tmp_path / "w")
        for path in (tmp_path / "d0").rglob("*-2-1"):
            path.unlink()
        assert (await store.verify(repair=True)).exit_status == 3
        assert on_disk(tmp_path)["d3"] == 0
        assert (await store.verify()).problems == []


async def test_where_capacities_leave_no_room_nothing_is_stored(tmp_path: Path) -> None:
    weights(tmp_path / "w", 3 * MB)
    async with fresh_store(tmp_path / "s", "4+2", six(tmp_path, *[MB // 2] * 4)) as store:
        with pytest.raises(QuotaError, match="only 500 kB on d"):
            await add(store, tmp_path / "w")
        request = AddRequest([str(tmp_path / "w")], parse_address("acme/model"), preflight=False)
        with pytest.raises(QuotaError, match=r"with d0, d1, d2, d3 full, 5 shards .* capacity"):
            await store.carry_out(request)
        assert not on_disk(tmp_path)
        config = read_config(store.path)
        more = tuple(replace(each, capacity=None) for each in config.backends)
        write_config(store.path, replace(config, backends=more))
        await add(store, tmp_path / "w")  # an open store hears of it


async def test_an_added_backend_keeps_its_capacity_everywhere(tmp_path: Path) -> None:
    await create_store(str(tmp_path / "s"), None, six(tmp_path)[:2], reserve=0)
    await add_backend(str(tmp_path / "s"), "far", str(tmp_path / "far"), "host9", 2.0, 7 * MB)
    assert read_config(str(tmp_path / "s")).backends[2].capacity == 7 * MB
    for name in ("d0", "d1", "far"):
        assert f'"capacity": {7 * MB}' in (tmp_path / name / "modelfloat.json").read_text()
    async with open_store(str(tmp_path / "s")) as store:
        assert [member.capacity for member in store.members] == [None, None, 7 * MB]


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([None] * 6, True),
        ([11] * 6, True),
        ([9] * 6, False),
        ([13, 13, 13, 13, 13, 0], True),
        ([99, 99, 0, 0, 0, 0], False),
    ],
)
def test_capacities_count_on_one_disk_too(left: list[int | None], expected: bool) -> None:
    rooms = [
        Room(Candidate(BackendId(bytes([i]) * 16), "disk", 1.0), f"d{i}", "disk", 1000, each)
        for i, each in enumerate(left)
    ]
    assert fits(60, Scheme(4, 2), rooms, [room.candidate for room in rooms]) is expected


async def test_the_space_of_a_store_is_what_capacities_leave() -> None:
    members = [
        Member(random_backend_id(), f"d{i}", MemoryBackend(f"d{i}"), f"host{i}", 1.0)
        for i in range(2)
    ]
    for member in members:
        member.capacity, member.used = 600, 200
    found = Members(StoreId(bytes(16)), members)
    assert await room_of(found, Scheme(1, 1)) == Space(600, 400)


async def test_what_placement_knows_is_changed_later(tmp_path: Path) -> None:
    """Six directories of one disk become two hosts: an open store, and every marker, hear of it."""
    path = str(tmp_path / "s")
    async with fresh_store(tmp_path / "s", "2+1", six(tmp_path)[:3]) as store:
        assert "any 1 of 3 domains" in await store.survives()
        survives = await change_backend(path, "d1", {"domain": "host0", "capacity": 5 * MB})
        assert "NOT the loss of one of 2 domains" in survives
        await store.members.refresh()
        assert await store.survives() == survives
        assert [member.capacity for member in store.members] == [None, 5 * MB, None]
        assert await change_backend(path, "d1", {"capacity": None, "weight": 2.5})
    for name in ("d0", "d1", "d2"):
        marker = (tmp_path / name / "modelfloat.json").read_text()
        assert "capacity" not in marker
        assert '"weight": 2.5' in marker
        assert marker.count('"domain": "host0"') == 2
    with pytest.raises(NotFoundError, match="it has d0, d1, d2"):
        await change_backend(path, "d7", {"weight": 1.0})


def test_changes_as_they_are_typed() -> None:
    assert parse_changes("d0", "attic", "2", "1.5TB") == {
        "domain": "attic",
        "weight": 2.0,
        "capacity": 1_500_000_000_000,
    }
    assert parse_changes("d0", None, None, "none") == {"capacity": None}
    for wrong in (("", None, None), (None, "0", None), (None, "x", None), (None, None, "0")):
        with pytest.raises(UsageError):
            parse_changes("d0", *wrong)


async def test_a_backend_gets_no_shard_larger_than_its_objects_may_be(tmp_path: Path) -> None:
    """5 MB as 4+2 is 1.25 MB a shard: where 1 MB is the most it goes elsewhere."""
    async with fresh_store(tmp_path / "s", "4+2", six(tmp_path)) as store:
        for member in store.members:
            if member.name == "d0":
                own = replace(member.backend.properties, largest_object=1 * MB)
                member.backend.properties = own  # type: ignore[misc]
        content = weights(tmp_path / "w.safetensors", 5 * MB)
        await add(store, tmp_path / "w.safetensors")
        used = on_disk(tmp_path)
        assert used["d0"] < 1 * MB
        assert min(used[f"d{i}"] for i in range(1, 6)) > 1.2 * MB
        assert await read(store, "acme/model/w.safetensors") == content


@pytest.mark.parametrize(("k", "m"), [(1, 2), (1, 0), (4, 2), (8, 1), (10, 4), (3, 0)])
def test_what_all_shards_take(k: int, m: int) -> None:
    where = (BackendId(b"b" * 16),) * (k + m)
    for chunks, shard in ((1, 10), (64, 4 << 20), (16_384, 1 << 20), (3, 100)):
        pack = PackRecord(
            PackNumber(1),
            PackId(bytes(16)),
            k,
            m,
            Kind.DATA,
            shard * k,
            shard,
            shard * k,
            chunks,
            0,
            where,
            (ShardState.GOOD,) * (k + m),
        )
        assert stored_size(pack) == sum(shard_size(pack, index) for index in range(k + m))
