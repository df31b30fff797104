"""Any two of six backends vanish and every byte is served; a third one is an honest error."""

import itertools
import shutil
from pathlib import Path

import pytest

from modelfloat.errors import DataLostError
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, read, weights

NAMES = [f"d{i}" for i in range(6)]


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 4+2 with one model in it, closed."""
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def lose(store: Path, names: tuple[str, ...]) -> None:
    for name in names:
        shutil.rmtree(store / "backends" / name)


async def test_all_pairs_are_served(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    for pair in itertools.combinations(NAMES, 2):
        kept = [path.parent / f"kept-{name}" for name in pair]
        for name, place in zip(pair, kept, strict=True):
            (path / "backends" / name).rename(place)
        async with open_store(str(path)) as store:
            assert {member.name for member in store.members.down()} == set(pair)
            assert await read(store, "acme/model/model.safetensors") == data
        for name, place in zip(pair, kept, strict=True):
            place.rename(path / "backends" / name)


async def test_three_lost_is_an_error(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    lose(path, ("d1", "d2", "d5"))
    async with open_store(str(path)) as store:
        with pytest.raises(DataLostError, match="3 of 6 shards are gone, 4 are needed"):
            await read(store, "acme/model/model.safetensors")
        report = await store.verify()
        assert report.exit_status == 4
        assert report.lost_files == ["acme/model@main/model.safetensors"]


async def test_backends_vanish_under_an_open_store(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    async with open_store(str(path)) as store:
        lose(path, ("d0", "d3"))
        assert await read(store, "acme/model/model.safetensors") == data


async def test_repair_makes_lost_directories_anew(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    lose(path, ("d0", "d3"))
    async with open_store(str(path)) as store:
        found = await store.verify()
        assert (found.exit_status, set(found.down)) == (3, {"d0", "d3"})
        repaired = await store.verify(repair=True)
        assert repaired.exit_status == 3
        assert repaired.replaced == ["d0", "d3"]
        assert all(problem.repaired for problem in repaired.problems)
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 0
    lose(path, ("d1", "d2"))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data


async def test_an_empty_directory_is_down_not_empty(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    lose(path, ("d0",))
    (path / "backends" / "d0").mkdir()
    async with open_store(str(path)) as store:
        assert [member.name for member in store.members.down()] == ["d0"]
        assert await read(store, "acme/model/model.safetensors") == data
        report = await store.verify(repair=True)
        assert report.replaced == []
        assert not list((path / "backends" / "d0").iterdir())


async def test_an_add_goes_on_with_a_backend_down(stored: tuple[Path, bytes]) -> None:
    path, _ = stored
    lose(path, ("d4",))
    data = weights(path.parent / "new.safetensors", label="new")
    async with open_store(str(path)) as store:
        await add(store, path.parent / "new.safetensors")
        assert await read(store, "acme/model/new.safetensors") == data
    lose(path, ("d0",))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/new.safetensors") == data
