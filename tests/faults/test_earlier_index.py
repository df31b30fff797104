"""An index put back from a backup: what it lacks is taken over with the next write."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import ShardPlaced
from modelfloat.cas.index.index import Index
from modelfloat.cas.store import Store
from modelfloat.ids import PackId
from modelfloat.opening import open_store
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.stores import add, fresh_store, read, weights

NAMES = ("one", "two", "three")


def fill(folder: Path) -> dict[str, bytes]:
    return {name: weights(folder / name, 1_500_000, name) for name in NAMES}


def put_back(saved: Path, part: Path) -> None:
    shutil.rmtree(part)
    shutil.copytree(saved, part)


async def test_records_of_writers_given_up_since(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second add crashes behind its record, so its slot goes to another writer."""
    held = fill(tmp_path)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    shutil.copytree(tmp_path / "store" / "index", tmp_path / "saved")

    def crash(*_: object) -> None:
        raise OSError("pulled the plug")

    with monkeypatch.context() as patched:
        patched.setattr(Index, "apply", crash)
        with pytest.raises((OSError, ExceptionGroup)):
            async with open_store(str(tmp_path / "store")) as store:
                await add(store, tmp_path / "two")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
    before = picture(tmp_path / "store")
    put_back(tmp_path / "saved", tmp_path / "store" / "index")
    assert differences(before, picture(tmp_path / "store"))
    async with open_store(str(tmp_path / "store")) as store, store.access.writing("a test"):
        pass
    assert differences(before, picture(tmp_path / "store")) == []
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/two") == held["two"]


async def test_slots_as_old_as_the_index(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The whole folder but the backends comes from a backup."""
    held = fill(tmp_path)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    for part in ("index", "locks"):
        shutil.copytree(tmp_path / "store" / part, tmp_path / "saved" / part)
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
    for part in ("index", "locks"):
        put_back(tmp_path / "saved" / part, tmp_path / "store" / part)
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "three")
        for name in NAMES:
            assert await read(store, f"acme/model/{name}") == held[name]
        assert len(store.index.refs()) == 1
        assert (await store.verify()).exit_status == 0
    assert "the index is of an earlier state than the journals" in caplog.text
    caplog.clear()


async def test_shards_placed_by_one_writer_of_a_pack_of_another(tmp_path: Path) -> None:
    """Whichever of the two is settled first."""
    fill(tmp_path)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "one")
    saved = tmp_path / "saved"
    shutil.copytree(tmp_path / "store" / "index", saved)
    async with open_store(str(tmp_path / "store")) as store:
        async with store.access.writing("holds the first slot"):
            await add(store, tmp_path / "two")
        pack = list(store.index.packs())[-2]
        await move_a_shard(store, pack.id)
    before = picture(tmp_path / "store")
    put_back(saved, tmp_path / "store" / "index")
    async with open_store(str(tmp_path / "store")) as store, store.access.writing("a test"):
        pass
    assert differences(before, picture(tmp_path / "store")) == []


async def move_a_shard(store: Store, pack: PackId) -> None:
    """Say that a pack's first shard is where its second one is."""
    record = store.index.pack_of_id(pack)
    assert record is not None
    async with store.access.writing("a test") as journal:
        await journal.append([ShardPlaced(pack, 0, record.backends[1])])


async def test_verify_tells_of_an_earlier_index_and_repairs_it(tmp_path: Path) -> None:
    held = fill(tmp_path)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    shutil.copytree(tmp_path / "store" / "index", tmp_path / "saved")
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
        assert (await store.verify()).exit_status == 0
    put_back(tmp_path / "saved", tmp_path / "store" / "index")
    async with open_store(str(tmp_path / "store")) as store:
        report = await store.verify()
        assert report.exit_status == 3
        assert ["earlier state" in problem.problem for problem in report.problems] == [True]
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/two") == held["two"]


@pytest.mark.parametrize("kept", [True, False])
async def test_verify_takes_over_what_only_listings_show(tmp_path: Path, kept: bool) -> None:
    """The index and the slots come from a backup: records show that no slot tells of."""
    held = fill(tmp_path)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "one")
    for part in ("index", "locks"):
        shutil.copytree(tmp_path / "store" / part, tmp_path / "saved" / part)
    async with open_store(str(tmp_path / "store")) as store:
        await add(store, tmp_path / "two")
    for part in ("index", "locks"):
        put_back(tmp_path / "saved" / part, tmp_path / "store" / part)
    if not kept:
        shutil.rmtree(tmp_path / "store" / "locks")
        (tmp_path / "store" / "locks").mkdir()
    async with open_store(str(tmp_path / "store")) as store:
        assert (await store.verify()).exit_status == 3
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/two") == held["two"]
