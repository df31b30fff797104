"""gc and chunks that lie in several packs: which copy stays, and when the other one may go."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.formats.journal import NOWHERE
from modelfloat.cas.gc import merging
from modelfloat.cas.gc.collection import Collection
from modelfloat.cas.gc.marks import Marks
from modelfloat.cas.gc.standing import WHOLE, Standing
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.journal.journal import Journal
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


@pytest.fixture(autouse=True)
def merged_by_twos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two small packs are as good as many."""
    monkeypatch.setattr(merging, "MANY", 2)


async def note(store: Store, pack: PackRecord, count: int) -> None:
    """Let the index know that the first `count` shards of a pack are missing."""
    states = {(pack.number, index): ShardState.MISSING for index in range(count)}
    await store.index.write(store.index.note_damage, states)


def split_packs(store: Store) -> list[PackRecord]:
    """Packs with parity, by number."""
    return [pack for pack in store.index.packs() if pack.k > 1]


def lose(store: Store, pack: PackRecord, *indexes: int) -> None:
    """Delete shards of a pack."""
    for path in shard_files(Path(store.path)):
        if path.parent.name == pack.id.hex() and int(path.name.split("-")[0]) in indexes:
            path.unlink()


async def store_twice(store: Store, source: Path) -> tuple[PackRecord, PackRecord]:
    """A file whose chunks lie in two packs: the first counted as lost when it was added again."""
    await add(store, source, "acme/a")
    (first,) = split_packs(store)
    await note(store, first, 3)
    await store.carry_out(AddRequest([str(source)], parse_address("acme/a"), reread=True))
    first, second = split_packs(store)
    return first, second


async def test_the_copy_that_was_chosen_is_lost_before_the_other_one_is_deleted(
    tmp_path: Path,
) -> None:
    data = weights(tmp_path / "a", 3_000_000)
    async with fresh_store(tmp_path / "s", "4+2") as store:
        first, second = await store_twice(store, tmp_path / "a")
        await store.verify()
        real = Collection._again

        async def lose_second(self: Collection, journal: Journal) -> None:
            lose(store, second, *range(second.n))
            await note(store, second, second.n)
            await real(self, journal)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Collection, "_again", lose_second)
            await store.gc(grace=0)
        assert store.index.pack_of_id(first.id) is not None
        assert await read(store, "acme/a/a") == data


async def test_the_copy_of_which_more_may_be_lost_stays(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 3_000_000)
    async with fresh_store(tmp_path / "s", "4+2") as store:
        first, second = await store_twice(store, tmp_path / "a")
        lose(store, second, 4, 5)
        await store.verify()
        await store.gc(grace=0)
        assert [pack.id for pack in split_packs(store)] == [first.id]
        lose(store, first, 0, 1)
        assert await read(store, "acme/a/a") == data


async def test_no_copy_goes_while_none_is_whole(tmp_path: Path) -> None:
    weights(tmp_path / "a", 3_000_000)
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await store_twice(store, tmp_path / "a")
        await store.verify()
        for pack in split_packs(store):
            lose(store, pack, 5)
        await store.verify()
        await store.gc(grace=0)
        assert len(split_packs(store)) == 2
        await store.verify(repair=True)
        await store.gc(grace=0)
        assert len(split_packs(store)) == 1


async def test_what_misses_a_shard_replaces_nothing(tmp_path: Path) -> None:
    weights(tmp_path / "a", 3_000_000)
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await add(store, tmp_path / "a")
        standing = Standing(store.pool)
        rank = standing.ranking()
        for pack in store.index.packs():
            assert standing.replaces(pack, pack)
            less = replace(pack, backends=(*pack.backends[:-1], NOWHERE))
            assert rank(less) < rank(pack)
            assert not standing.replaces(less, pack)
            twice = replace(pack, backends=(*pack.backends[:-1], pack.backends[0]))
            assert rank(twice) < rank(pack)
            assert not standing.replaces(twice, pack)
            assert standing.replaces(pack, twice)


async def test_a_backend_that_goes_down_makes_packs_worse(tmp_path: Path) -> None:
    weights(tmp_path / "a", 3_000_000)
    async with fresh_store(tmp_path / "s", "4+2") as store:
        await add(store, tmp_path / "a")
        (pack,) = split_packs(store)
        marks = Marks(store.index, Standing(store.pool).ranking)
        assert marks.check()
        marks.mark([chunk for chunk, places in store.index.each_chunk() if places])
        store.pool.members.up()[0].down = "it is away"
        assert not marks.check()
        row = marks.packs["number"].tolist().index(pack.number)
        assert not int(marks.packs["rank"][row]) & WHOLE


async def three_small(path: Path) -> dict[str, bytes]:
    """A store in `path`/s with three small packs, and what its files hold."""
    files = {name: weights(path / name, 3_000_000, name) for name in "abc"}
    async with fresh_store(path / "s", "4+2") as store:
        for name in files:
            await add(store, path / name, f"acme/{name}")
    return files


def most_on_one(store: Store) -> int:
    """Shards of one pack that one backend has, at most."""
    return max(max(Counter(pack.backends).values()) for pack in store.index.packs())


async def test_nothing_is_rewritten_while_a_backend_is_down(tmp_path: Path) -> None:
    await three_small(tmp_path)
    for name in ("d0",):
        (tmp_path / "s/backends" / name).rename(tmp_path / name)
    async with open_store(str(tmp_path / "s")) as store:
        before = list(store.index.packs())
        planned = await store.gc(grace=0, dry_run=True)
        report = await store.gc(grace=0)
        assert (report.merged, report.rewritten) == (planned.merged, planned.rewritten) == (0, 0)
        assert list(store.index.packs()) == before
    for name in ("d0",):
        (tmp_path / name).rename(tmp_path / "s/backends" / name)
    async with open_store(str(tmp_path / "s")) as store:
        assert (await store.gc(grace=0)).merged > 0
        assert most_on_one(store) == 1


async def test_a_pack_stays_that_is_safer_than_its_copy(tmp_path: Path) -> None:
    """One backend takes nothing while gc copies, so another one gets two shards of a pack."""
    files = await three_small(tmp_path)
    async with open_store(str(tmp_path / "s")) as store:
        before = {pack.id for pack in split_packs(store)}
        member = next(iter(store.members))
        member.backend = faulty = FaultyBackend(member.backend)
        faulty.inject("full", on=["put"], prefix="packs/")
        report = await store.gc(grace=0)
        assert report.skipped > 0
        # Packs of objects are copies, for which there are backends enough.
        assert (report.merged, report.rewritten) == (3, 0)
        assert before <= {pack.id for pack in split_packs(store)}
        assert not list((tmp_path / "s/backends").glob("*/condemned/*"))
        for name, data in files.items():
            assert await read(store, f"acme/{name}/{name}") == data
    async with open_store(str(tmp_path / "s")) as store:
        await store.gc(grace=0)
        await store.gc(grace=0)
        assert most_on_one(store) == 1
        assert len(split_packs(store)) < len(before)
        assert (await store.verify()).exit_status == 0
