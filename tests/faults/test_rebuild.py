"""rebuild-index: from what lies on the backends, whatever became of the index."""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.cas.formats.journal import PackDeleted
from modelfloat.cas.index.index import Index
from modelfloat.cas.locks import locked
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec
from modelfloat.errors import IndexDamagedError, LockedError, ModelFloatError, UnavailableError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import (
    add,
    data_shards,
    flip_bit,
    fresh_store,
    read,
    shard_files,
    weights,
)


async def fill(path: Path) -> dict[str, bytes]:
    """A store with a history: branches, tags, two writers, a moved shard, a deleted pack.

    The files that it holds, by address.
    """
    sources = path.parent / "sources"
    sources.mkdir()
    held = {name: weights(sources / name, 3_000_000, name) for name in ("one", "two", "three")}
    (sources / "tree" / "deep").mkdir(parents=True)
    for number in range(70):
        (sources / "tree" / "deep" / f"{number}.txt").write_text(f"file {number}\n")
    async with fresh_store(path) as store:
        await add(store, sources / "one", "acme/model")
        await store.add([str(sources / "two")], parse_address("acme/model"), tag="v1")
        await store.add([str(sources / "three")], parse_address("acme/model@dev"))
        await add(store, sources / "tree", "other/texts")
    async with open_store(str(path)) as store:
        await two_at_once(store, sources)
        await delete_a_pack(store, path)
    return {
        "acme/model/one": held["one"],
        "acme/model@v1/two": held["two"],
        "acme/model@dev/three": held["three"],
        "other/texts/deep/7.txt": b"file 7\n",
    }


async def two_at_once(store: Store, sources: Path) -> None:
    """Two adds side by side, while somebody has the journal that was used so far."""
    for name in ("left", "right"):
        (sources / name).write_bytes(noise(name, 700_000))
    async with store.access.writing("a test"), trio.open_nursery() as nursery:
        nursery.start_soon(add, store, sources / "left", "acme/left")
        nursery.start_soon(add, store, sources / "right", "acme/right")


async def delete_a_pack(store: Store, path: Path) -> None:
    """Take the right one's data away: its tombstone first, then its shards."""
    file = store.open_file(parse_address("acme/right/right"))
    file.close()
    entry = store.find(parse_address("acme/right/right"))
    recipe = store.objects.recipe(store.objects.manifest(entry.object))
    (place, *_), *_ = store.index.locate([span.id for span in recipe.all()])
    pack = store.index.pack(place.pack)
    assert pack is not None
    await store.remove(parse_address("acme/right"))
    async with store.access.writing("a test") as journal:
        await journal.append([PackDeleted(pack.id)])
    for shard in shard_files(path):
        if shard.parent.name == pack.id.hex():
            shard.unlink()


async def check(path: Path, held: dict[str, bytes]) -> None:
    """All files read back, nothing is wrong, and an add stores nothing twice."""
    sources = path.parent / "sources"
    async with open_store(str(path)) as store:
        for address, content in held.items():
            assert await read(store, address) == content
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
        added = await add(store, sources / "one", "acme/again")
        assert (added.new, added.deduplicated) == (0, added.logical)
        (sources / "new").write_bytes(noise("new", 200_000))
        await add(store, sources / "new", "acme/new")
        assert await read(store, "acme/new/new") == noise("new", 200_000)


def same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert differences(before, after) == []


def lose(index: Path) -> None:
    shutil.rmtree(index)


def cut(index: Path) -> None:
    os.truncate(index / "data.mdb", 5000)


def garble(index: Path) -> None:
    (index / "data.mdb").write_bytes(b"garbage" * 10_000)


def hide_the_store(index: Path) -> None:
    """The row that says whose index it is has an impossible length; it still can be opened."""
    row = b"\x10\0\0\0\0\0\x05\0store"
    data = (index / "data.mdb").read_bytes()
    assert row in data
    (index / "data.mdb").write_bytes(data.replace(row, row.replace(b"\x10\0\0\0", b"\x10\0\0\xff")))
    with contextlib.closing(Index.open(str(index))) as damaged, pytest.raises(IndexDamagedError):
        assert damaged.store


def keep(_index: Path) -> None:
    """Nothing is wrong with it."""


@pytest.mark.parametrize("damage", [lose, cut, garble, hide_the_store, keep])
async def test_the_result_equals_what_was(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    assert before["deleted"]
    assert len(before["writers"]) >= 2
    damage(tmp_path / "store" / "index")
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.exit_status == 0
    assert (report.missing, report.found_again, report.maybe_older) == ([], [], [])
    same(before, picture(tmp_path / "store"))
    assert report.kept == ("" if damage is lose else "index.damaged-1")
    await check(tmp_path / "store", held)


def holders(folder: Path) -> list[Path]:
    """Those of the backends a to d that hold shards."""
    return sorted(packs.parent for packs in folder.glob("[a-d]/packs"))


async def test_moved_shards_are_found(tmp_path: Path) -> None:
    """One backend is away while a repair puts its shards on a fourth one, and comes back."""
    weights(tmp_path / "model", 3_000_000)
    four = tuple(BackendSpec(name, str(tmp_path / name)) for name in ("a", "b", "c", "d"))
    async with fresh_store(tmp_path / "store", "2+1", four) as store:
        await add(store, tmp_path / "model")
    before = picture(tmp_path / "store")
    holder = holders(tmp_path)[0]
    holder.rename(tmp_path / "away")
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
    (tmp_path / "away").rename(holder)
    moved = picture(tmp_path / "store")
    assert moved["places"] != before["places"]
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    same(moved, picture(tmp_path / "store"))


async def test_an_index_of_an_earlier_state(tmp_path: Path) -> None:
    weights(tmp_path / "one", 2_000_000, "one")
    weights(tmp_path / "two", 2_000_000, "two")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    shutil.copytree(tmp_path / "store" / "index", tmp_path / "earlier")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
    before = picture(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    (tmp_path / "earlier").rename(tmp_path / "store" / "index")
    assert differences(before, picture(tmp_path / "store"))
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    same(before, picture(tmp_path / "store"))


async def test_one_old_index_is_kept(tmp_path: Path) -> None:
    held = await fill(tmp_path / "store")
    for number in (1, 2, 3):
        report = await rebuild_store(str(tmp_path / "store"))
        assert report.kept == f"index.damaged-{number}"
        assert report.dropped == [f"index.damaged-{n}" for n in (number - 1,) if n]
        kept = [p.name for p in (tmp_path / "store").iterdir() if p.name.startswith("index")]
        assert sorted(kept) == ["index", f"index.damaged-{number}"]
    await check(tmp_path / "store", held)


@pytest.mark.parametrize("step", ["settle_packs", "write_chunks", "put_objects", "finish"])
async def test_an_interrupted_rebuild_leaves_the_old_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")

    def crash(*_: object) -> None:
        raise ModelFloatError("pulled the plug")

    with monkeypatch.context() as patched:
        patched.setattr(f"modelfloat.cas.rebuild.draft.Draft.{step}", crash)
        with pytest.raises(ModelFloatError, match="pulled the plug"):
            await rebuild_store(str(tmp_path / "store"))
        assert not (tmp_path / "store" / "index.rebuild").exists()
    same(before, picture(tmp_path / "store"))
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    same(before, picture(tmp_path / "store"))
    await check(tmp_path / "store", held)


async def test_what_a_killed_rebuild_left_is_no_hindrance(tmp_path: Path) -> None:
    held = await fill(tmp_path / "store")
    left = tmp_path / "store" / "index.rebuild"
    (left / "scratch").mkdir(parents=True)
    (left / "data.mdb").write_bytes(b"half")
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    assert not left.exists()
    await check(tmp_path / "store", held)


@pytest.mark.parametrize("down", [["d0"], ["d1", "d4"], ["d2", "d5"]])
async def test_m_backends_may_be_down(tmp_path: Path, down: list[str]) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    for name in down:
        (tmp_path / "store" / "backends" / name).rename(tmp_path / name)
    report = await rebuild_store(str(tmp_path / "store"))
    assert sorted(report.down) == down
    assert report.missing == []
    same(before, picture(tmp_path / "store"))
    for name in down:
        (tmp_path / name).rename(tmp_path / "store" / "backends" / name)
    await check(tmp_path / "store", held)


async def test_more_are_too_many(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    for name in ("d0", "d1", "d4"):
        (tmp_path / "store" / "backends" / name).rename(tmp_path / name)
    with pytest.raises(UnavailableError, match=r"d0, d1, d4: too many .* bring 1 of them back"):
        await rebuild_store(str(tmp_path / "store"))
    assert not (tmp_path / "store" / "index").exists()


async def test_writers_are_waited_for(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store, store.access.writing("a test"):
        with pytest.raises(LockedError, match="a test"):
            await rebuild_store(str(tmp_path / "store"), wait=False)


async def test_backends_are_looked_at_once_the_locks_are_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that comes back while the locks are waited for is up for the rebuild."""
    path = tmp_path / "store"
    held = await fill(path)
    (path / "backends" / "d2").rename(tmp_path / "away")
    reports = []
    gc = str(path / "locks" / "gc")

    async def rebuild() -> None:
        reports.append(await rebuild_store(str(path)))

    async with trio.open_nursery() as nursery, locked(gc, what="a test"):
        nursery.start_soon(rebuild)
        while "held by" not in caplog.text:  # noqa: ASYNC110 - a log has no event
            await trio.sleep(0.01)
        (tmp_path / "away").rename(path / "backends" / "d2")
    caplog.clear()
    (report,) = reports
    assert (report.down, report.exit_status) == ({}, 0)
    await check(path, held)


def records(store: Path, backend: str = "*") -> list[Path]:
    return sorted((store / "backends").glob(f"{backend}/journal/*/*"))


async def test_damaged_copies_are_left_aside(tmp_path: Path) -> None:
    """Two of three copies of every record are gone or torn."""
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    for copy in records(tmp_path / "store"):
        if copy.name.endswith("-0"):
            copy.unlink()
        elif copy.name.endswith("-1"):
            flip_bit(copy, 130)
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.damaged_copies > 0
    assert (report.missing, report.exit_status) == ([], 3)
    same(before, picture(tmp_path / "store"))
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
    await check(tmp_path / "store", held)


async def test_lost_records_of_packs_are_made_up_by_footers(tmp_path: Path) -> None:
    """Only the record of the first pack is gone, in all its copies."""
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    for copy in records(tmp_path / "store"):
        if copy.name.startswith("0000000000000001-"):
            copy.unlink()
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.missing
    assert all(name.startswith("journal record") for name in report.missing)
    assert report.found_again
    assert report.exit_status == 3
    found = differences(before, picture(tmp_path / "store"))
    assert set(found) <= {"refs", "reflog", "writers"}
    async with open_store(str(tmp_path / "store")) as store:
        for address in ("acme/model/one", "acme/model@dev/three"):
            assert await read(store, address) == held[address]


async def test_an_old_index_tells_what_lost_records_said(tmp_path: Path) -> None:
    """All records but the first are gone; the index that is there knows where the refs were."""
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    for copy in records(tmp_path / "store"):
        if not copy.name.startswith("0000000000000001-"):
            copy.unlink()
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.exit_status in (0, 3)
    after = picture(tmp_path / "store")
    assert differences(before, after) == ["writers"]
    async with open_store(str(tmp_path / "store")) as store:
        for address, content in held.items():
            assert await read(store, address) == content


async def test_refs_that_may_be_older_are_named(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        weights(tmp_path / name, 2_000_000, name)
    async with fresh_store(tmp_path / "store") as store:
        for name in ("one", "two", "three"):
            await add(store, tmp_path / name, f"acme/{name}")
    shutil.rmtree(tmp_path / "store" / "index")
    numbers = sorted({copy.name[:16] for copy in records(tmp_path / "store")})
    for copy in records(tmp_path / "store"):
        if copy.name[:16] == numbers[3]:
            copy.unlink()
    report = await rebuild_store(str(tmp_path / "store"))
    assert len(report.missing) == 1
    assert "acme/one@main" in report.maybe_older
    assert "acme/three@main" not in report.maybe_older


async def test_objects_that_no_backend_has_come_from_the_old_mirror(tmp_path: Path) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    for shard in shard_files(tmp_path / "store"):
        if shard not in data_shards(tmp_path / "store"):
            shard.unlink()
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.lost_packs
    assert report.missing_objects == 0
    assert differences(before, picture(tmp_path / "store")) == []
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/one") == held["acme/model/one"]
    shutil.rmtree(tmp_path / "store" / "index")
    report = await rebuild_store(str(tmp_path / "store"))
    assert report.missing_objects > 0
    assert report.exit_status == 4


async def test_damaged_object_packs_are_read_all_the_same(tmp_path: Path) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "index")
    for shard in shard_files(tmp_path / "store"):
        if shard.name.startswith("0-1-"):
            flip_bit(shard, 30)
    report = await rebuild_store(str(tmp_path / "store"))
    assert (report.lost_packs, report.missing_objects) == ([], 0)
    same(before, picture(tmp_path / "store"))
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
    await check(tmp_path / "store", held)


async def test_an_open_store_goes_on_with_the_old_index(tmp_path: Path) -> None:
    held = await fill(tmp_path / "store")
    async with open_store(str(tmp_path / "store")) as store:
        await rebuild_store(str(tmp_path / "store"))
        assert await read(store, "acme/model/one") == held["acme/model/one"]
        fresh = Index.open(str(tmp_path / "store" / "index"))
        assert fresh is not store.index
        fresh.close()
    await check(tmp_path / "store", held)


async def test_an_empty_store(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store"):
        pass
    shutil.rmtree(tmp_path / "store" / "index")
    report = await rebuild_store(str(tmp_path / "store"))
    assert (report.records, report.packs, report.exit_status) == (0, 0, 0)
    (tmp_path / "f").write_text("f")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "f")
        assert await read(store, "acme/model/f") == b"f"
