"""Backends taken off the list: never with a shard on them; they may come back."""

import json
import shutil
from pathlib import Path

import pytest
import trio

from modelfloat.backendchanges import add_backend
from modelfloat.cas.refnames import parse_address
from modelfloat.config import read_config
from modelfloat.creating import BackendSpec, create_store
from modelfloat.errors import BusyError, NotFoundError, UnavailableError
from modelfloat.opening import open_store
from modelfloat.retiring import remove_backend
from modelfloat.tests.support.damage import all_files
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

DATA = noise("f", 1_500_000)


@pytest.fixture
async def three(tmp_path: Path) -> Path:
    """A store of 2+1 on three directories outside of it, with a file."""
    (tmp_path / "f").write_bytes(DATA)
    specs = tuple(BackendSpec(f"b{i}", str(tmp_path / f"b{i}")) for i in range(3))
    async with fresh_store(tmp_path / "store", None, specs) as store:
        await add(store, tmp_path / "f")
    return tmp_path / "store"


def names(store: Path) -> list[str]:
    return [backend.name for backend in read_config(str(store)).backends]


async def test_one_that_cannot_be_spared_stays(three: Path) -> None:
    before = all_files(three.parent)
    with pytest.raises(BusyError, match="without b0 less would survive"):
        await remove_backend(str(three), "b0")
    with pytest.raises(NotFoundError, match="has no backend b9; it has b0, b1, b2"):
        await remove_backend(str(three), "b9")
    assert names(three) == ["b0", "b1", "b2"]
    after = all_files(three.parent)
    assert [p for p in before if p.parent.name != "locks" and p not in after] == []


async def test_a_dead_one_goes_when_its_shards_were_made_again(three: Path) -> None:
    shutil.rmtree(three.parent / "b0")
    await add_backend(str(three), "b3", str(three.parent / "b3"))
    moved = await remove_backend(str(three), "b0")
    assert "any 1 of 3 directories" in moved.survives
    assert moved.report.remade == moved.report.shards
    assert names(three) == ["b1", "b2", "b3"]
    for name in ("b1", "b2", "b3"):
        marker = json.loads((three.parent / name / "modelfloat.json").read_text())
        assert [each["name"] for each in marker["backends"]] == ["b1", "b2", "b3"]
    async with open_store(str(three)) as store:
        report = await store.verify(repair=True)
        assert (report.lost, report.down) == ([], {})
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/f") == DATA


async def test_an_empty_one_goes_untouched_and_comes_back(three: Path) -> None:
    await add_backend(str(three), "b3", str(three.parent / "b3"))
    was = read_config(str(three)).backends[-1].id
    before = all_files(three.parent / "b3")
    await remove_backend(str(three), "b3")
    assert all_files(three.parent / "b3") == before
    await add_backend(str(three), "b3", str(three.parent / "b3"))
    assert read_config(str(three)).backends[-1].id == was


async def test_who_waited_for_the_lock_puts_nothing_there(three: Path) -> None:
    await add_backend(str(three), "b3", str(three.parent / "b3"))
    before = all_files(three.parent / "b3")
    (three.parent / "g").write_bytes(noise("g", 3_000_000))
    async with open_store(str(three)) as store:
        await remove_backend(str(three), "b3")
        await add(store, three.parent / "g")
        assert [member.name for member in store.members] == ["b0", "b1", "b2"]
    assert all_files(three.parent / "b3") == before


async def test_a_store_of_one_directory_that_is_gone_begins_again(tmp_path: Path) -> None:
    """The way that the guide shows: another place, what is lost removed, the dead one taken off."""
    path = str(tmp_path / "store")
    (tmp_path / "f").write_bytes(DATA)
    await create_store(path, None, [BackendSpec("d0", str(tmp_path / "d0"))], reserve=0)
    async with open_store(path) as store:
        await add(store, tmp_path / "f")
    shutil.rmtree(tmp_path / "d0")
    with pytest.raises(BusyError, match="d0 is the store's only backend"):
        await remove_backend(path, "d0")
    await add_backend(path, "d1", str(tmp_path / "d1"))
    async with open_store(path) as store:
        with pytest.raises(UnavailableError, match=r"with d0 down, .*`modelfloat backend rm`"):
            await add(store, tmp_path / "f", "acme/other")
        await store.remove(parse_address("acme/model"), grace=0)
        with pytest.raises(UnavailableError, match="--accept-losses"):
            await store.gc(grace=0)
        await store.gc(grace=0, accept_losses=True)
    with trio.fail_after(60):
        await remove_backend(path, "d0")
    async with open_store(path) as store:
        await add(store, tmp_path / "f")
        await store.verify(repair=True)
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/f") == DATA
