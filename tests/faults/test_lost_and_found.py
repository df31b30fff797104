"""Backends that go away and come back, and stores that are open meanwhile."""

import itertools
import shutil
from pathlib import Path

import pytest
import trio

from modelfloat import opening
from modelfloat.backendchanges import add_backend
from modelfloat.config import config_path
from modelfloat.errors import DataLostError
from modelfloat.opening import open_store
from modelfloat.tests.support.command import modelfloat
from modelfloat.tests.support.stores import add, forget_chunks, fresh_store, read, weights

ADDRESS = "acme/model/model.safetensors"


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 4+2 with one model in it, closed."""
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def move(store: Path, names: str, *, back: bool = False) -> None:
    """Move backends d<i> out of the store's folder, or back into it."""
    for name in (f"d{i}" for i in names):
        inside, outside = store / "backends" / name, store.parent / f"away-{name}"
        (outside if back else inside).rename(inside if back else outside)


async def test_too_much_away_is_not_made_anew_and_may_come_back(
    stored: tuple[Path, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    path, data = stored
    move(path, "012")
    async with open_store(str(path)) as store:
        report = await store.verify(repair=True)
        assert (report.exit_status, report.replaced) == (4, [])
        assert "there is not enough to repair from without" in caplog.text
        with pytest.raises(DataLostError):
            await read(store, ADDRESS)
    assert not (path / "backends" / "d0").exists()
    move(path, "012", back=True)
    async with open_store(str(path)) as store:
        assert await read(store, ADDRESS) == data
        assert (await store.verify(repair=True)).exit_status in (0, 3)
        assert (await store.verify()).exit_status == 0


async def test_a_directory_that_was_made_anew_may_be_the_old_one_again(
    stored: tuple[Path, bytes],
) -> None:
    path, data = stored
    move(path, "5")
    async with open_store(str(path)) as store:
        assert (await store.verify(repair=True)).replaced == ["d5"]
    shutil.rmtree(path / "backends" / "d5")
    move(path, "5", back=True)
    async with open_store(str(path)) as store:
        assert not store.members.down()
        assert (await store.verify()).exit_status == 0
        assert await read(store, ADDRESS) == data


async def test_an_open_store_uses_what_another_made_anew(stored: tuple[Path, bytes]) -> None:
    path, data = stored
    async with open_store(str(path)) as reader:
        assert await read(reader, ADDRESS) == data
        shutil.rmtree(path / "backends" / "d1")
        shutil.rmtree(path / "backends" / "d4")
        async with open_store(str(path)) as store:
            await store.verify(repair=True)
        shutil.rmtree(path / "backends" / "d0")
        shutil.rmtree(path / "backends" / "d2")
        forget_chunks(reader)
        assert await read(reader, ADDRESS) == data


async def test_an_open_store_learns_of_a_new_backend(
    stored: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "FOLLOW", 0.01)
    path, _ = stored
    async with open_store(str(path)) as store:
        await add_backend(str(path), "extra", str(path.parent / "extra"))
        with trio.fail_after(20):
            while len(store.members.up()) != 7:  # noqa: ASYNC110 - nothing announces it
                await trio.sleep(0.01)
        assert "extra" in {member.name for member in store.members.up()}


async def test_a_spoiled_configuration_ends_nothing(
    stored: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "FOLLOW", 0.01)
    path, data = stored
    async with open_store(str(path)) as store:
        await trio.Path(config_path(str(path))).write_text("[store")
        with trio.fail_after(20):
            while "without the change" not in caplog.text:  # noqa: ASYNC110 - as above
                await trio.sleep(0.01)
        assert await read(store, ADDRESS) == data


async def test_an_index_that_was_replaced_is_told_once_and_reading_goes_on(
    stored: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "FOLLOW", 0.01)
    path, data = stored
    async with open_store(str(path)) as store:
        done = await trio.to_thread.run_sync(modelfloat, "--store", path, "rebuild-index")
        assert done.returncode == 0, done.stderr
        with trio.fail_after(20):
            while "was replaced" not in caplog.text:  # noqa: ASYNC110 - as above
                await trio.sleep(0.01)
            assert await read(store, ADDRESS) == data
            # Something else to be told shows that it looked again, and more than once.
            await trio.Path(config_path(str(path))).write_text("[store")
            while caplog.text.count("without the change") < 2:  # noqa: ASYNC110 - as above
                await trio.sleep(0.01)
    assert caplog.text.count("was replaced") == 1
    assert "mount again" in caplog.text


async def test_what_was_added_with_a_backend_away_is_spread_by_repair(
    stored: tuple[Path, bytes],
) -> None:
    path, _ = stored
    move(path, "0")
    data = weights(path.parent / "new.safetensors", label="new")
    async with open_store(str(path)) as store:
        await add(store, path.parent / "new.safetensors")
    move(path, "0", back=True)
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 3
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0
    for pair in itertools.combinations("012345", 2):
        move(path, "".join(pair))
        async with open_store(str(path)) as store:
            assert await read(store, "acme/model/new.safetensors") == data, pair
        move(path, "".join(pair), back=True)
