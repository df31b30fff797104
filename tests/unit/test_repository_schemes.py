"""Schemes of repositories: `add --erasure`, kept by later adds, by gc and by a rescue."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.add.report import AddReport
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.add.writer import spare_of
from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.journal import NOWHERE
from modelfloat.cas.index.records import ShardState
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.schemes import scheme_like
from modelfloat.cas.store import Store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import UnavailableError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

MB = 1_000_000


async def add_as(store: Store, source: Path, scheme: str | None, address: str) -> AddReport:
    erasure = None if scheme is None else Scheme.parse(scheme)
    return await store.carry_out(AddRequest([str(source)], parse_address(address), erasure=erasure))


def schemes(store: Store, kind: Kind = Kind.DATA) -> Counter[str]:
    """How many packs there are of each scheme."""
    return Counter(f"{p.k}+{p.m}" for p in store.index.packs() if p.kind is kind)


def source(folder: Path, name: str) -> Path:
    weights(folder / name, 3 * MB, name)
    return folder / name


async def test_later_adds_and_new_branches_keep_it(tmp_path: Path) -> None:
    one, two, three, four = (source(tmp_path, name) for name in ("1", "2", "3", "4"))
    async with fresh_store(tmp_path / "s", "2+1") as store:
        report = await add_as(store, one, "3+2", "acme/own")
        assert report.survives.startswith("3+2: ") or "directories" in report.survives
        assert schemes(store) == {"3+2": 1}
        assert (await add(store, two, "acme/own")).survives == ""
        await add(store, three, "acme/own@dev")
        assert schemes(store) == {"3+2": 3}
        await add(store, four, "acme/other")
        assert schemes(store) == {"3+2": 3, "2+1": 1}
        assert schemes(store, Kind.OBJECT).keys() == {"1+2", "1+1"}


async def test_it_is_changed_without_new_files_too(tmp_path: Path) -> None:
    one, two = source(tmp_path, "1"), source(tmp_path, "2")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, one, "acme/own")
        report = await add_as(store, one, "4+1", "acme/own")
        assert report.commit is not None
        assert report.new == 0
        assert store.objects.commit(report.commit).message == "new packs as 4+1"
        assert (await add_as(store, one, "4+1", "acme/own")).commit is None
        await add(store, two, "acme/own")
        assert schemes(store) == {"2+1": 1, "4+1": 1}


async def test_a_hit_counts_only_where_chunks_are_as_protected(tmp_path: Path) -> None:
    one = source(tmp_path, "1")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add_as(store, one, "3+0", "acme/cheap")
        assert (await add(store, one, "acme/dear")).new == 3 * MB + _header(one)
        assert (await add_as(store, one, "3+0", "acme/cheap")).commit is None
        assert (await add_as(store, one, "3+0", "acme/third")).new == 0
        assert (await add_as(store, one, "2+2", "acme/more")).new > 3 * MB
        assert schemes(store) == {"3+0": 1, "2+1": 1, "2+2": 1}


def _header(path: Path) -> int:
    return path.stat().st_size - 3 * MB


async def test_without_parity_names_are_kept_as_the_store_keeps_them(tmp_path: Path) -> None:
    """What was there is known still, when what can be had again elsewhere is lost."""
    one = source(tmp_path, "1")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add_as(store, one, "2+0", "acme/cheap")
        assert schemes(store, Kind.OBJECT) == {"1+1": 1}
        stats = await store.stats()
        assert [(each.scheme, each.packs) for each in stats.schemes] == [("2+1", 1), ("2+0", 1)]
        assert "2+0: no parity: any lost or damaged shard is lost data" in stats.survives


async def test_a_rebuilt_index_knows_it(tmp_path: Path) -> None:
    one, two = source(tmp_path, "1"), source(tmp_path, "2")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add_as(store, one, "3+2", "acme/own")
    shutil.rmtree(tmp_path / "s" / "index")
    await rebuild_store(str(tmp_path / "s"))
    async with open_store(str(tmp_path / "s")) as store:
        await add(store, two, "acme/own")
        assert schemes(store) == {"3+2": 2}


async def test_gc_rewrites_packs_as_they_were(tmp_path: Path) -> None:
    """Of a pack of 3+1 in a store of 2+1 a third is needed: that becomes no 2+1."""
    folder = tmp_path / "models"
    folder.mkdir()
    kept = source(folder, "a")
    weights(folder / "b", 6 * MB, "b")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add_as(store, folder, "3+2", "acme/whole")
        await add_as(store, kept, "3+2", "acme/part")
        await store.remove(parse_address("acme/whole"))
        await store.gc(grace=0)
        assert schemes(store) == {"3+2": 1}
        assert sum(p.length for p in store.index.packs() if p.kind is Kind.DATA) < 4 * MB
        assert await read(store, "acme/part/a") == kept.read_bytes()


@pytest.mark.parametrize(
    ("k", "m", "like"), [(4, 2, "4+2"), (8, 2, "8+2"), (8, 0, "8+0"), (1, 2, "4+2"), (1, 3, "4+3")]
)
def test_packs_made_anew_are_protected_as_before(k: int, m: int, like: str) -> None:
    assert str(scheme_like(Scheme(4, 2), k, m)) == like


async def test_fewer_shards_are_enough_where_that_is_said(tmp_path: Path) -> None:
    """Two of six directories are left: four shards of 4+2 are the most that they may hold."""
    one = source(tmp_path, "1")
    request = AddRequest([str(one)], parse_address("acme/model"))
    async with fresh_store(tmp_path / "s", "4+2") as store:
        away = [f"d{i}" for i in range(4)]
        for name in away:
            (tmp_path / "s" / "backends" / name).rename(tmp_path / name)
        await store.members.look()
        for number in (None, 5, 6, 100):
            with pytest.raises(UnavailableError, match=r"d0, d1, d2, d3 down, [56] shards"):
                await store.carry_out(replace(request, min_shards=number))
        assert shard_files(tmp_path / "s") == []
        await store.carry_out(replace(request, min_shards=1))
        (pack,) = (p for p in store.index.packs() if p.kind is Kind.DATA)
        assert Counter(pack.states) == {ShardState.GOOD: 4, ShardState.MISSING: 2}
        assert (await store.stats()).degraded_packs == 1
        assert await store.health() == {"acme/model": "degraded"}
        assert await read(store, "acme/model/1") == one.read_bytes()
        # The next add makes what is missing, as soon as there is a place for it.
        small = tmp_path / "small"
        small.write_bytes(b"small")
        assert (await add(store, small)).completed == 0
        for name in away:
            (tmp_path / name).rename(tmp_path / "s" / "backends" / name)
        await store.members.look()
        assert (await add(store, one, "acme/again")).completed == 1
        assert store.index.incomplete() == []
        assert (await store.stats()).degraded_packs == 0


async def test_a_repair_makes_what_is_missing_too(tmp_path: Path) -> None:
    one = source(tmp_path, "1")
    request = AddRequest([str(one)], parse_address("acme/model"), min_shards=1)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        (tmp_path / "s" / "backends" / "d0").rename(tmp_path / "d0")
        await store.members.look()
        await store.carry_out(request)
        (pack,) = store.index.incomplete()
        assert Counter(pack.backends)[NOWHERE] == 1
        (tmp_path / "d0").rename(tmp_path / "s" / "backends" / "d0")
        await store.members.look()
        report = await store.verify(repair=True)
        assert [problem.repaired for problem in report.problems] == [True] * len(report.problems)
        assert store.index.incomplete() == []
        assert (await store.verify()).exit_status == 0


def test_how_many_shards_more_than_needed() -> None:
    request = AddRequest(["x"], parse_address("acme/model"))
    for number, spare in ((None, 1), (1, 0), (4, 0), (5, 1), (6, 2), (9, 5)):
        assert spare_of(replace(request, min_shards=number), Scheme(4, 2)) == spare
