"""gc beside everything else: adds, down backends, older indexes, orphans, other collections."""

import os
import shutil
import time
from pathlib import Path

import pytest
import trio

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.cas.gc.sweeping import Sweeper
from modelfloat.cas.locks import locked
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import (
    ConflictError,
    IndexDamagedError,
    LockedError,
    ModelFloatError,
    UnavailableError,
)
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

DAY = 86_400.0


async def remove(store: Store, address: str) -> None:
    await store.remove(parse_address(address))


def condemned(store: Path) -> set[str]:
    return {path.name for path in (store / "backends").glob("*/condemned/*")}


def grow_old(store: Path, seconds: float) -> None:
    """Make all shards older."""
    then = time.time() - seconds
    for path in shard_files(store):
        os.utime(path, (then, then))


async def test_objects_of_a_pack_that_stays_are_kept(tmp_path: Path) -> None:
    """Else a healthy store looked damaged to a repair, and an add met objects in half only."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(60):
        (folder / str(number)).write_bytes(noise(f"many {number}", 300))
    (tmp_path / "one").write_bytes(noise("one", 300))
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, folder, "acme/many")
        await add(store, tmp_path / "one", "acme/one")
        await store.gc(grace=0)  # they share packs now
        await remove(store, "acme/one")
        await store.gc(grace=0)
        report = await store.verify(repair=True)
        assert (report.exit_status, report.problems) == (0, [])
        await add(store, tmp_path / "one", "acme/one")
        assert await read(store, "acme/one/one") == noise("one", 300)
        await remove(store, "acme/one")
        await remove(store, "acme/many")
        await store.gc(grace=0)
        assert list(store.index.object_ids()) == []


async def test_shards_on_a_backend_that_is_down_are_deleted_later(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000, "a")
    weights(tmp_path / "b", 1_500_000, "b")
    async with fresh_store(tmp_path / "s") as store:
        await add(store, tmp_path / "a", "acme/a")
        await add(store, tmp_path / "b", "acme/b")
        before = set(shard_files(tmp_path / "s"))
        await remove(store, "acme/b")
    (tmp_path / "s/backends/d2").rename(tmp_path / "away")
    async with open_store(str(tmp_path / "s")) as store:
        report = await store.gc(grace=0)
        assert report.pending > 0
        assert report.deleted >= 1
        assert condemned(tmp_path / "s")
        assert await read(store, "acme/a/a") == data
        assert (await store.gc(grace=0)).pending == report.pending
    (tmp_path / "away").rename(tmp_path / "s/backends/d2")
    assert shard_files(tmp_path / "s", "d2")
    async with open_store(str(tmp_path / "s")) as store:
        report = await store.gc(grace=0)
        assert report.pending == 0
        assert not condemned(tmp_path / "s")
        assert (await store.verify()).exit_status == 0
        assert set(shard_files(tmp_path / "s")) < before
        assert await read(store, "acme/a/a") == data


async def test_too_many_backends_down_and_nothing_is_deleted(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        await remove(store, "acme/a")
    for name in ("d0", "d1"):
        (tmp_path / "s/backends" / name).rename(tmp_path / name)
    left = set(shard_files(tmp_path / "s"))
    async with open_store(str(tmp_path / "s")) as store:
        with pytest.raises(UnavailableError, match="d0, d1 down nothing is deleted"):
            await store.gc(grace=0)
    assert set(shard_files(tmp_path / "s")) == left


async def test_an_older_index_does_not_make_newer_data_garbage(tmp_path: Path) -> None:
    """The index was put back from before an add: its records are found and applied first."""
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in "ab"}
    path = tmp_path / "s"
    async with fresh_store(path) as store:
        await add(store, tmp_path / "a", "acme/a")
    shutil.copytree(path / "index", tmp_path / "older")
    shutil.copytree(path / "locks", tmp_path / "older-locks")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "b", "acme/b")
        await store.remove(parse_address("acme/a"))
        await add(store, tmp_path / "a", "acme/again")
    for name in ("index", "locks"):
        shutil.rmtree(path / name)
    shutil.copytree(tmp_path / "older", path / "index")
    shutil.copytree(tmp_path / "older-locks", path / "locks")
    async with open_store(str(path)) as store:
        await store.gc(grace=0)
        assert await read(store, "acme/b/b") == files["b"]
        assert await read(store, "acme/again/a") == files["a"]
        assert (await store.verify()).exit_status == 0


async def test_a_record_that_cannot_be_applied_ends_it(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1"):
        pass
    shutil.copytree(path / "index", tmp_path / "older")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "a", "acme/a")
        records = sorted({p.name[:16] for p in (path / "backends").glob("*/journal/*/*")})
    for copy in (path / "backends").glob(f"*/journal/*/{records[0]}-*"):
        copy.unlink()
    shutil.rmtree(path / "index")
    shutil.copytree(tmp_path / "older", path / "index")
    left = set(shard_files(path))
    async with open_store(str(path)) as store:
        with pytest.raises(IndexDamagedError, match="`modelfloat rebuild-index`"):
            await store.gc(grace=0)
    assert set(shard_files(path)) == left


async def test_an_interrupted_add_is_kept_for_the_grace_period(tmp_path: Path) -> None:
    """Packs that no ref reaches, and shards that no record names: young ones stay."""
    weights(tmp_path / "a", 1_500_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        for member in store.members:
            member.backend = faulty = FaultyBackend(member.backend)
            faulty.inject("full", on=["put"], prefix="journal/")
        with pytest.raises(ModelFloatError):
            await add(store, tmp_path / "a", "acme/a")
        for member in store.members:
            assert isinstance(member.backend, FaultyBackend)
            member.backend.clear()
        unnamed = set(shard_files(path))
        assert unnamed
        await store.gc(grace=DAY)
        assert set(shard_files(path)) == unnamed
        grow_old(path, 2 * DAY)
        report = await store.gc(grace=DAY)
        assert report.orphans == len(unnamed)
        assert report.freed > 1_500_000
        assert shard_files(path) == []
        await add(store, tmp_path / "a", "acme/a")
        assert (await store.verify()).exit_status == 0


async def test_what_was_stored_recently_is_kept_though_nothing_reaches_it(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        await remove(store, "acme/a")
        # As if the ref had been removed long ago.
        store_gc = await store.gc(grace=0.0, dry_run=True)
        assert store_gc.deleted == 2
        since = time.time() + 10 * DAY
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time_ns", lambda: int(since * 1e9))
            report = await store.gc(grace=DAY)
            assert (report.deleted, report.young) == (0, 2)
            again = await add(store, tmp_path / "a", "acme/b")
            assert again.new == 0
            await remove(store, "acme/b")
        grow_old(path, 2 * DAY)
        assert (await store.gc(grace=DAY)).deleted == 0
        assert (await store.gc(grace=0)).deleted == 3


async def test_a_clock_that_was_set_back_makes_nothing_old(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        await remove(store, "acme/a")
        grow_old(path, -30 * DAY)
        assert (await store.gc(grace=DAY)).deleted == 0


async def test_gc_waits_for_an_add_and_the_add_loses_nothing(tmp_path: Path) -> None:
    """An add that relies on what is garbage when gc marks, and moves its ref before gc deletes."""
    data = weights(tmp_path / "a", 3_000_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store, open_store(str(path)) as other:
        await add(store, tmp_path / "a", "acme/a")
        await remove(store, "acme/a")
        found = trio.Event()
        go_on = trio.Event()
        real = Sweeper.condemn

        async def condemn_and_wait(self: Sweeper, packs: list[object]) -> None:
            await real(self, packs)  # type: ignore[arg-type]
            found.set()
            await go_on.wait()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Sweeper, "condemn", condemn_and_wait)
            async with trio.open_nursery() as nursery:

                async def collect() -> None:
                    await store.gc(grace=0)

                nursery.start_soon(collect)
                await found.wait()
                assert condemned(path)
                report = await add(other, tmp_path / "a", "acme/b")
                assert report.new == 0
                go_on.set()
        assert await read(store, "acme/b/a") == data
        assert not condemned(path)
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/b/a") == data


async def test_a_second_collection_is_told_who_collects(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "s"):
        pass
    async with (
        open_store(str(tmp_path / "s"), wait=False) as store,
        locked(str(tmp_path / "s/locks/gc"), what="modelfloat gc"),
    ):
        with pytest.raises(LockedError, match="modelfloat gc"):
            await store.gc()
        await store.gc(dry_run=True)


async def test_a_store_whose_index_was_made_anew_is_opened_again(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        await rebuild_store(str(path))
        for work in (lambda: store.gc(grace=0), lambda: store.remove(parse_address("acme/a"))):
            with pytest.raises(ConflictError, match="was made anew meanwhile"):
                await work()
        with pytest.raises(ConflictError, match="was made anew meanwhile"):
            await add(store, tmp_path / "a", "acme/b")
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 0
        await remove(store, "acme/a")
        await store.gc(grace=0)
        assert shard_files(path) == []


async def test_damage_in_a_pack_keeps_it_from_being_rewritten(tmp_path: Path) -> None:
    """What cannot be read whole is not copied, and so not deleted."""
    folder = tmp_path / "f"
    folder.mkdir()
    for name in "abc":
        weights(folder / name, 1_000_000, name)
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        await add(store, folder, "acme/all")
        await add(store, folder / "a", "acme/one")
        await remove(store, "acme/all")
        data = [p for p in shard_files(path) if p.name in ("0-2-1", "1-2-1")]
        for shard in data:
            payload = 64 * -(-3_000_000 // 128)
            with shard.open("r+b") as file:
                file.write(b"x" * payload)
        report = await store.gc(grace=0)
        assert report.skipped >= 1
        assert all(shard.exists() for shard in data)
