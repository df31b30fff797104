"""gc and chunks that lie in several packs: which copy stays, and when the other one may go."""

from pathlib import Path

import pytest

from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.gc.collection import Collection
from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.journal.journal import Journal
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


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
