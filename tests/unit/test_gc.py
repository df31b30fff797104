"""rm and gc: what goes, what stays, and what is said about it."""

from pathlib import Path

import pytest

from modelfloat.cas.gc.collected import InUse
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import NotFoundError
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    fresh_store,
    read,
    shard_files,
    weights,
)


async def remove(store: Store, address: str) -> int:
    """Remove refs; bytes that a gc will free."""
    return (await store.remove(parse_address(address))).frees


def used(store: Path) -> int:
    """Bytes of all shards."""
    return sum(path.stat().st_size for path in shard_files(store))


async def test_what_rm_says_is_what_gc_frees(tmp_path: Path) -> None:
    kept = weights(tmp_path / "kept", 3_000_000, "kept")
    weights(tmp_path / "gone", 4_000_000, "gone")
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "kept", "acme/kept")
        before, shards = used(tmp_path / "s"), data_shards(tmp_path / "s")
        await add(store, tmp_path / "gone", "acme/gone")
        data = sum(p.stat().st_size for p in set(data_shards(tmp_path / "s")) - {*shards})
        both = used(tmp_path / "s")
        assert await remove(store, "acme/gone") == data
        with pytest.raises(NotFoundError):
            await read(store, "acme/gone/gone")
        planned = await store.gc(grace=0, dry_run=True)
        assert used(tmp_path / "s") == both
        report = await store.gc(grace=0)
        assert report.freed == planned.freed == both - before
        assert (report.deleted, planned.deleted) == (2, 2)
        assert used(tmp_path / "s") == before
        assert not list((tmp_path / "s" / "backends").glob("*/condemned/*"))
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/kept/kept") == kept
        assert (await store.gc(grace=0)).freed == 0


@pytest.mark.parametrize(("shared", "goes"), [(14, False), (6, True)])
async def test_rm_promises_nothing_of_a_pack_that_gc_leaves(
    tmp_path: Path, shared: int, goes: bool
) -> None:
    """Half of a large pack is needed still: nothing is copied out of it."""
    data = noise("large", 20_000_000)
    (tmp_path / "all").write_bytes(data)
    (tmp_path / "part").write_bytes(data[: shared * 1_000_000])
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "all", "acme/all")
        await add(store, tmp_path / "part", "acme/part")
        frees = await remove(store, "acme/all")
        before = used(tmp_path / "s")
        await store.gc(grace=0)
        freed = before - used(tmp_path / "s")
        assert (frees > 10_000_000, freed > 10_000_000) == (goes, goes)


async def test_a_removed_ref_stays_for_the_grace_period(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a", "acme/a")
        before = set(shard_files(tmp_path / "s"))
        commit = store.refs.heads(parse_address("acme/a").repo)[0].commit
        await remove(store, "acme/a")
        assert (await store.gc()).freed == 0
        assert set(shard_files(tmp_path / "s")) == before
        assert store.objects.commit(commit)
        report = await add(store, tmp_path / "a", "acme/again")
        assert (report.new, report.stored) == (0, 0)
        assert await read(store, "acme/again/a") == data


async def test_what_another_ref_reaches_is_kept_and_not_counted(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a", "acme/one")
        await add(store, tmp_path / "a", "acme/two")
        assert await remove(store, "acme/one") == 0
        await store.gc(grace=0)
        assert await read(store, "acme/two/a") == data
        assert (await store.verify()).exit_status == 0


async def test_open_files_are_kept_and_named(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a", "acme/a")
        entry = store.find(parse_address("acme/a/a"))
        file = store.open_file(parse_address("acme/a/a"))
        frees = await remove(store, "acme/a")
        open_ = [InUse(entry.object, "acme/a/a", "pid 1 (init)")]
        report = await store.gc(grace=0, find_in_use=lambda: open_)
        (kept,) = report.kept
        assert (kept.name, kept.who, kept.size) == ("acme/a/a", "pid 1 (init)", frees)
        assert bytes(await file.read(0, len(data))) == data
        assert (await store.verify()).exit_status == 0
        report = await store.gc(grace=0)
        assert report.freed >= frees
        assert shard_files(tmp_path / "s") == []
