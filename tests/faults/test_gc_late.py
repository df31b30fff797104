"""What happens between gc's look and its deletes, between two tries of it, and to the clock."""

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from modelfloat.backends.keys import shard_key
from modelfloat.cas.formats.condemned import Condemned
from modelfloat.cas.formats.journal import RefChanged
from modelfloat.cas.gc import merging, selection
from modelfloat.cas.gc.collected import InUse
from modelfloat.cas.gc.condemning import condemn
from modelfloat.cas.gc.removal import Removal
from modelfloat.cas.gc.selection import Batch
from modelfloat.cas.gc.sweeping import Sweeper
from modelfloat.cas.index.index import Index
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.reserve import Reserve
from modelfloat.cas.store import Store
from modelfloat.errors import NotFoundError, QuotaError
from modelfloat.ids import PackId
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import flip_payload
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

DAY = 86_400.0


def grow_old(path: Path, seconds: float) -> None:
    """Make all shards older."""
    then = time.time() - seconds
    for shard in shard_files(path):
        os.utime(shard, (then, then))


async def test_a_file_that_is_opened_just_before_the_delete_is_kept(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        entry = store.find(parse_address("acme/a/a"))
        file = store.open_file(parse_address("acme/a/a"))
        await store.remove(parse_address("acme/a"))
        asked = 0

        def find_in_use() -> list[InUse]:
            nonlocal asked
            asked += 1
            # Before it condemns, and when it is alone with the store, nobody had it open.
            return [InUse(entry.object, "acme/a/a", "pid 1")] if asked > 2 else []

        await store.gc(grace=0, find_in_use=find_in_use)
        assert asked > 2
        assert bytes(await file.read(0, len(data))) == data
        assert not list((tmp_path / "s/backends").glob("*/condemned/*"))


async def test_a_condemned_pack_that_no_record_names_gets_a_tombstone_first(
    tmp_path: Path,
) -> None:
    weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        pack = PackId(b"p" * 16)
        where = tuple(member.id for member in store.members)
        left = [
            tmp_path / "s/backends" / member.name / shard_key(pack, index, 2, 1)
            for index, member in enumerate(store.members)
        ]
        for path in left:
            path.parent.mkdir(parents=True)
            shutil.copy(shard_files(tmp_path / "s")[0], path)
        await condemn(store.members, [Condemned(store.id, pack, 2, 1, where)], 2)
        # So young that it is no orphan: the condemned record alone tells of it.
        await store.gc(grace=DAY)
        assert not any(path.exists() for path in left)
        assert pack in set(store.index.deleted())


async def test_what_a_failed_try_saw_is_not_told_of_the_next(tmp_path: Path) -> None:
    """The disk is full after a pack was passed over; with the reserve given up it goes on."""
    folder = tmp_path / "f"
    folder.mkdir()
    for name in "abc":
        weights(folder / name, 1_000_000, name)
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store:
        for name in ("one", "two"):
            await add(store, folder, f"acme/{name}")
            await add(store, folder / "a", "acme/kept")
            await store.remove(parse_address(f"acme/{name}"))
            weights(folder / "a", 1_000_000, f"a of {name}")
            weights(folder / "b", 1_000_000, f"b of {name}")
            weights(folder / "c", 1_000_000, f"c of {name}")
        damaged = next(pack for pack in store.index.packs() if pack.k > 1)
        for shard in shard_files(path):
            if shard.parent.name == damaged.id.hex():
                flip_payload(shard)
        real, calls = Sweeper.condemn, 0

        async def full_once(self: Sweeper, packs: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise QuotaError("backend d0 is full")
            await real(self, packs)

        (path / "reserve").unlink()
        Reserve(str(path)).make(100_000)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(selection, "BATCH", Batch(1, 1, 1))
            patch.setattr(merging, "MANY", 2)
            patch.setattr(Sweeper, "condemn", full_once)
            report = await store.gc(grace=0)
        assert calls > 2
        # Its damage is known by then, so the second try did not choose it.
        assert report.skipped == 0


async def test_no_lookup_of_packs_holds_the_event_loop(tmp_path: Path) -> None:
    for name in "abc":
        weights(tmp_path / name, 1_500_000, name)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        for name in "abc":
            await add(store, tmp_path / name, f"acme/{name}")
        await store.remove(parse_address("acme/c"))
        orphan = tmp_path / "s/backends/d0/packs/ff" / ("ff" * 16)
        orphan.mkdir(parents=True)
        shutil.copy(shard_files(tmp_path / "s")[0], orphan / "0-1-1")
        here: list[str] = []

        def watched(name: str) -> Any:
            real = getattr(Index, name)

            def look(self: Index, *arguments: Any) -> Any:
                if threading.current_thread() is threading.main_thread():
                    here.append(name)
                return real(self, *arguments)

            return look

        grow_old(tmp_path / "s", 2 * DAY)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(merging, "MANY", 2)
            for name in ("pack", "pack_of_id"):
                patch.setattr(Index, name, watched(name))
            merged = [(await store.gc(grace=grace)).merged for grace in (DAY, 0)]
        assert sum(merged) > 0
        assert here == []


async def test_who_finds_nothing_left_to_remove_says_so(tmp_path: Path) -> None:
    """Another rm takes the same repository away while this one counts what that frees."""
    weights(tmp_path / "a", 600_000)
    path = tmp_path / "s"
    async with fresh_store(path, "2+1") as store, open_store(str(path)) as other:
        await add(store, tmp_path / "a", "acme/a")
        real = Removal._remove

        async def second(self: Removal, *arguments: Any) -> list[RefChanged]:
            patch.undo()
            assert (await other.remove(parse_address("acme/a"))).refs
            return await real(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Removal, "_remove", second)
            with pytest.raises(NotFoundError, match="there is no repository acme/a"):
                await store.remove(parse_address("acme/a"))


async def removed_with_clock(store: Store, address: str, ahead: float) -> int:
    """Remove refs with a clock that is so many seconds ahead; when that was, ns."""
    now = time.time_ns() + int(ahead * 1e9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: now)
        return (await store.remove(parse_address(address))).removed_ns


async def test_a_clock_that_was_set_back_takes_no_grace_away(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000)
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        file = store.open_file(parse_address("acme/a/a"))
        (head,) = store.refs.heads(parse_address("acme/a").repo)
        assert await removed_with_clock(store, "acme/a", -30 * DAY) == head.time_ns + 1
        grow_old(tmp_path / "s", 30 * DAY)
        assert (await store.gc(grace=14 * DAY)).deleted == 0
        assert bytes(await file.read(0, len(data))) == data
        await add(store, tmp_path / "a", "acme/again")
        assert await read(store, "acme/again/a") == data
