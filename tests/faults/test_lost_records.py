"""Journal records of which no copy is left: verify finds them, --repair writes them anew."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import PackDeleted
from modelfloat.cas.refnames import parse_address
from modelfloat.creating import BackendSpec
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights


async def fill(path: Path) -> dict[str, bytes]:
    """Three adds, a tag, a tombstone; the files by address."""
    held = {}
    async with fresh_store(path) as store:
        for name in ("one", "two", "three"):
            held[f"acme/{name}/{name}"] = weights(path.parent / name, 2_000_000, name)
            await add(store, path.parent / name, f"acme/{name}")
        await store.add([str(path.parent / "one")], parse_address("acme/two"), tag="v1")
        weights(path.parent / "gone", 1_000_000, "gone")
        await add(store, path.parent / "gone", "acme/gone")
        pack = list(store.index.packs())[-2]
        await store.remove(parse_address("acme/gone"))
        async with store.access.writing("a test") as journal:
            await journal.append([PackDeleted(pack.id)])
    for shard in shard_files(path):
        if shard.parent.name == pack.id.hex():
            shard.unlink()
    return held


def numbers(store: Path) -> list[int]:
    found = {int(copy.name[:16], 16) for copy in (store / "backends").glob("*/journal/*/*")}
    return sorted(found)


def lose(store: Path, *lost: int) -> None:
    for copy in (store / "backends").glob("*/journal/*/*"):
        if int(copy.name[:16], 16) in lost:
            copy.unlink()


LAST = 99
"""Stands for the last record."""


@pytest.mark.parametrize("lost", [(1,), (2,), (3, 4), (LAST,), tuple(range(1, LAST + 1))])
async def test_a_lost_record_is_written_anew(tmp_path: Path, lost: tuple[int, ...]) -> None:
    held = await fill(tmp_path / "store")
    before = picture(tmp_path / "store")
    known = numbers(tmp_path / "store")
    lose(tmp_path / "store", *(known[-1] if n == LAST else n for n in lost))
    async with open_store(str(tmp_path / "store")) as store:
        report = await store.verify()
        assert report.exit_status == 3
        assert not any(problem.repaired for problem in report.problems)
        report = await store.verify(repair=True)
        assert report.exit_status == 3
        assert all(problem.repaired for problem in report.problems)
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
    assert set(differences(before, picture(tmp_path / "store"))) <= {"writers"}
    shutil.rmtree(tmp_path / "store" / "index")
    await rebuild_store(str(tmp_path / "store"))
    assert set(differences(before, picture(tmp_path / "store"))) <= {"writers"}
    async with open_store(str(tmp_path / "store")) as store:
        for address, content in held.items():
            assert await read(store, address) == content
        # The new index does not know that nothing is missing for want of that record.
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0


async def test_a_rebuild_with_the_index_there_says_nothing_more(tmp_path: Path) -> None:
    await fill(tmp_path / "store")
    lose(tmp_path / "store", 2)
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
    report = await rebuild_store(str(tmp_path / "store"))
    assert (report.missing, report.exit_status) == ([], 0)
    async with open_store(str(tmp_path / "store")) as store:
        assert (await store.verify()).exit_status == 0


async def test_nothing_is_written_anew_while_a_backend_is_away(tmp_path: Path) -> None:
    """The copy that seems lost may be there."""
    weights(tmp_path / "model", 3_000_000)
    three = tuple(BackendSpec(name, str(tmp_path / name)) for name in ("a", "b", "c"))
    async with fresh_store(tmp_path / "store", "2+1", three) as store:
        await add(store, tmp_path / "model")
        (writer,) = store.index.writers()
    lose_after(tmp_path, 1)
    (tmp_path / "b").rename(tmp_path / "away")
    async with open_store(str(tmp_path / "store")) as store:
        report = await store.verify(repair=True)
        assert any(not problem.repaired for problem in report.problems)
        assert not store.index.is_made_good(writer, 2)
    (tmp_path / "away").rename(tmp_path / "b")
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
        assert store.index.is_made_good(writer, 2)
        assert (await store.verify()).exit_status == 0


def holders(folder: Path) -> list[Path]:
    """Those of the backends a to d that hold shards."""
    return sorted(packs.parent for packs in folder.glob("[a-d]/packs"))


def lose_after(folder: Path, last: int) -> None:
    for copy in folder.glob("[a-d]/journal/*/*"):
        if int(copy.name[:16], 16) > last:
            copy.unlink()


async def test_a_moved_shards_record_is_written_anew(tmp_path: Path) -> None:
    weights(tmp_path / "model", 3_000_000)
    four = tuple(BackendSpec(name, str(tmp_path / name)) for name in ("a", "b", "c", "d"))
    async with fresh_store(tmp_path / "store", "2+1", four) as store:
        await add(store, tmp_path / "model")
        last = max(store.index.writer(writer)[0] for writer in store.index.writers())
    holder = holders(tmp_path)[0]
    holder.rename(tmp_path / "away")
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
    (tmp_path / "away").rename(holder)
    shutil.rmtree(holder / "packs")
    lose_after(tmp_path, last)
    before = picture(tmp_path / "store")
    async with open_store(str(tmp_path / "store")) as store:
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0
    shutil.rmtree(tmp_path / "store" / "index")
    await rebuild_store(str(tmp_path / "store"))
    assert set(differences(before, picture(tmp_path / "store"))) <= {"writers"}
