"""Stores over folders of a Google Drive that is late, hasty and forgetful: nothing is lost."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from modelfloat.backends.gdrive import api
from modelfloat.backends.keys import MARKER_KEY
from modelfloat.backends.registry import open_backend
from modelfloat.cas.packs.health import State
from modelfloat.creating import BackendSpec
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.servers.gdrive import FakeDrive, serve_gdrive
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights

LATE = 30
"""Requests by which listings are late."""


@pytest.fixture
async def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeDrive]:
    monkeypatch.setattr(api, "BACKOFF", api.Backoff(first=0.0001))
    async with serve_gdrive(tmp_path / "drive") as drive:
        for name, value in drive.credentials().items():
            monkeypatch.setenv(name, value)
        yield drive


@pytest.fixture
def folders(drive: FakeDrive) -> list[str]:
    """Ids of folders, one a backend."""
    return [drive.new_folder(name) for name in ("a", "b", "c")]


def specs(drive: FakeDrive, folders: list[str]) -> tuple[BackendSpec, ...]:
    """The backends in them, each a domain of its own."""
    return tuple(
        BackendSpec(f"g{i}", drive.backend_url(folder), f"account{i}", rate="none")
        for i, folder in enumerate(folders)
    )


async def test_an_add_gets_over_all_of_it(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """Haste, connections that break, tokens that end, listings that are late."""
    data = weights(tmp_path / "m.safetensors", 40_000_000)
    drive.state.lag = LATE
    async with fresh_store(tmp_path / "store", "2+1", specs(drive, folders)) as store:
        drive.faults.cut_uploads = [1 << 20, 10_000, 3 << 20]
        drive.faults.refuse(403, "userRateLimitExceeded", 3)
        drive.faults.refuse(500, "backendError", 3, about=lambda r: "/upload/" in r.path)
        drive.faults.lost_answers = 3
        drive.oauth.expire()
        await add(store, tmp_path / "m.safetensors")
        assert await read(store, "acme/model/m.safetensors") == data
        assert (await store.verify()).exit_status == 0
    async with open_store(str(tmp_path / "store")) as store:
        drive.asked.clear()
        assert await read(store, "acme/model/m.safetensors") == data
        # Opening looks for markers; reading lists nothing.
        shards = [each for each in drive.asked if "alt=media" in each]
        listings = [each for each in drive.asked if "/drive/v3/files?" in each]
        assert len(shards) > len(listings)
        assert not any("packs" in each for each in listings)


async def test_a_folder_that_was_put_in_the_trash(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """It counts as down, is read round, and is well again when it is restored."""
    data = weights(tmp_path / "m.safetensors", 12_000_000)
    async with fresh_store(tmp_path / "store", "2+1", specs(drive, folders)) as store:
        await add(store, tmp_path / "m.safetensors")
    folder = drive.state.files[folders[1]]
    drive.state.put(replace(folder, trashed=True))
    async with open_store(str(tmp_path / "store")) as store:
        assert [b.state for b in await store.backends()].count(State.DOWN) == 1
        assert await read(store, "acme/model/m.safetensors") == data
    drive.state.put(folder)
    async with open_store(str(tmp_path / "store")) as store:
        assert (await store.verify()).exit_status == 0


@pytest.mark.slow
async def test_lost_shards_are_made_anew(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    data = weights(tmp_path / "m.safetensors", 12_000_000)
    async with fresh_store(tmp_path / "store", "2+1", specs(drive, folders)) as store:
        await add(store, tmp_path / "m.safetensors")
        (packs,) = (
            file.id
            for file in drive.state.files.values()
            if file.name == "packs" and file.parents == (folders[0],)
        )
        drive.state.remove(packs)
        assert await read(store, "acme/model/m.safetensors") == data
        assert (await store.verify(repair=True)).exit_status == 3
        assert (await store.verify()).exit_status == 0
        assert any(f.parents == (folders[0],) and f.name == "packs" for f in drive.state.listed())


@pytest.mark.slow
async def test_the_index_is_rebuilt_from_drive_alone(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """All that this machine knew is lost, the ids of files too."""
    data = weights(tmp_path / "m.safetensors", 12_000_000)
    async with fresh_store(tmp_path / "store", "2+1", specs(drive, folders)) as store:
        await add(store, tmp_path / "m.safetensors")
    for name in ("index", "accounts"):
        await trio.to_thread.run_sync(shutil.rmtree, tmp_path / "store" / name)
    await rebuild_store(str(tmp_path / "store"))
    async with open_store(str(tmp_path / "store")) as store:
        assert await read(store, "acme/model/m.safetensors") == data
        assert (await store.verify()).exit_status == 0


@pytest.mark.slow
async def test_two_sites_share_a_drive(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """What one adds the other reads, though listings are late, with an account's memory each."""
    first, second = (tmp_path / name for name in ("first", "second"))
    async with fresh_store(first, "2+1", specs(drive, folders)):
        pass
    await another_site(first, second)
    drive.state.lag = LATE
    data = {}
    for site, name in ((first, "one"), (second, "two"), (first, "three")):
        data[name] = weights(tmp_path / name, 6_000_000, name)
        drive.state.settle()
        async with open_store(str(site)) as store:
            await add(store, tmp_path / name, f"acme/{name}")
    drive.state.settle()
    for site in (first, second):
        await rebuild_store(str(site))
        async with open_store(str(site)) as store:
            for name, value in data.items():
                assert await read(store, f"acme/{name}/{name}") == value


async def test_a_days_bytes_are_used_up(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """Then Drive's backends are full, and others take what is added."""
    data = weights(tmp_path / "m.safetensors", 12_000_000)
    others = (BackendSpec(name, str(tmp_path / name), name) for name in ("d0", "d1"))
    backends = (*specs(drive, folders[:1]), *others)
    async with fresh_store(tmp_path / "store", "1+1", backends) as store:
        drive.state.account.daily = drive.state.account.uploaded
        await add(store, tmp_path / "m.safetensors")
        assert await read(store, "acme/model/m.safetensors") == data
        states = {each.name: each.state for each in await store.backends()}
        assert states == {"g0": State.FULL, "d0": State.UP, "d1": State.UP}


async def test_a_store_is_known_by_its_url_on_another_machine(
    drive: FakeDrive, folders: list[str], tmp_path: Path
) -> None:
    """The marker names where the others are, and nothing of who asks."""
    async with fresh_store(tmp_path / "store", "2+1", specs(drive, folders)):
        pass
    backend = open_backend("x", drive.backend_url(folders[0]), rate="none")
    marker = (await backend.get(MARKER_KEY)).decode()
    await backend.aclose()
    assert all(folder in marker for folder in folders)
    assert not any(token in marker for token in (*drive.oauth.refresh, *drive.oauth.access))
