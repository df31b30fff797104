"""Several folders, one list of backends: what one of them changes the others take over by
themselves, and nothing is lost before they do."""

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from modelfloat import opening, retiring, sharedlist
from modelfloat.backendchanges import add_backend, change_backend
from modelfloat.cas.gc import elsewhere
from modelfloat.cas.lease.home import home_of
from modelfloat.cas.packs.health import State
from modelfloat.cas.store import Store
from modelfloat.config import read_config
from modelfloat.draining import MoveRequest, drain_backend, stop_draining
from modelfloat.errors import BusyError, ExistsError, LockedError, UnavailableError
from modelfloat.finding import Place
from modelfloat.opening import open_store, rebuild_store
from modelfloat.retiring import remove_backend
from modelfloat.tests.support.mounted import PATIENCE
from modelfloat.tests.support.sites import another_site, join
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

LOOKS = 0.05
"""Seconds between two looks: longer than tests wait to find all tasks waiting."""
SOON = 1e-3
"""Seconds since others were followed after which a command does so."""


@pytest.fixture(autouse=True)
def at_once_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new may be deleted while others are known: so these tests need no clock."""
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0)


async def two(tmp_path: Path, scheme: str = "2+1") -> tuple[str, str]:
    """A store with a file as acme/a, in `s`, and another folder that joined it."""
    weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", scheme) as store:
        await add(store, tmp_path / "a", "acme/a")
    await another_site(tmp_path / "s", tmp_path / "other")
    return str(tmp_path / "s"), str(tmp_path / "other")


def names(store: str) -> list[str]:
    return [each.name for each in read_config(store).backends]


def states(store: Store) -> dict[str, str]:
    return {member.name: member.state.value for member in store.members}


async def eventually(happened: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not happened():
            await trio.testing.wait_all_tasks_blocked(0.01)


def change_marker(backend: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a backend's marker as whoever has that backend could."""
    path = backend / "modelfloat.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


async def added(tmp_path: Path, here: str, *new: str) -> dict[str, bytes]:
    """Backends added in one folder, and models that lie there too; what is in these."""
    for name in new:
        await add_backend(here, name, str(tmp_path / name), weight=3)
    found = {}
    async with open_store(here) as store:
        for number in range(4):
            found[f"b{number}"] = weights(tmp_path / "b", 300_000, f"b{number}")
            await add(store, tmp_path / "b", f"acme/b{number}")
    return found


async def all_there(folder: str, files: dict[str, bytes]) -> None:
    async with open_store(folder, refresh=SOON) as store:
        for name, data in files.items():
            assert await read(store, f"acme/{name}/b") == data
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])


async def test_what_one_folder_adds_the_others_use(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    files = await added(tmp_path, here, "new0", "new1")
    async with open_store(there) as store:
        assert states(store) == dict.fromkeys(["d0", "d1", "d2", "new0", "new1"], "up")
    ours, theirs = (read_config(folder).backends[3:] for folder in (there, here))
    assert [(b.id, b.url, b.weight) for b in ours] == [(b.id, b.url, b.weight) for b in theirs]
    await all_there(there, files)


async def test_gc_in_a_folder_with_an_old_list_deletes_nothing_of_others(tmp_path: Path) -> None:
    """Records that say what is needed lie where it does not look."""
    here, there = await two(tmp_path)
    files = await added(tmp_path, here, *(f"new{n}" for n in range(6)))
    async with open_store(there) as store:
        assert (await store.gc(grace=0)).orphans == 0
    await all_there(here, files)


async def test_what_cannot_be_used_here_is_known_to_be_there(tmp_path: Path) -> None:
    """Its address is not one to be used unasked, or is nowhere here: nothing is deleted then."""
    here, there = await two(tmp_path)
    files = await added(tmp_path, here, *(f"new{n}" for n in range(6)))
    for n in range(6):
        (tmp_path / f"new{n}").rename(tmp_path / f"away{n}")
    async with open_store(there) as store:
        assert list(states(store).values()) == ["up"] * 3 + ["down"] * 6
        assert names(there) == ["d0", "d1", "d2"]
        reasons = [backend.reason for backend in await store.backends()][3:]
        assert "`modelfloat backend add new0 " in reasons[0]
        with pytest.raises(UnavailableError, match="down nothing is deleted"):
            await store.gc(grace=0)
        assert await read(store, "acme/a/a")
    for n in range(6):
        (tmp_path / f"away{n}").rename(tmp_path / f"new{n}")
    await all_there(there, files)


async def test_what_lies_where_one_cannot_look_is_not_lost(tmp_path: Path) -> None:
    """It is read from parity, as with any backend that is down, and not made once more."""
    here, there = await two(tmp_path)
    files = await added(tmp_path, here, "new")
    before = shard_files(tmp_path / "s")
    (tmp_path / "new").rename(tmp_path / "away")
    async with open_store(there, refresh=SOON) as store:
        for name, data in files.items():
            assert await read(store, f"acme/{name}/b") == data
        report = await store.verify()
        assert list(report.down) == ["new"]
        assert report.lost == []
    assert shard_files(tmp_path / "s") == before
    (tmp_path / "away").rename(tmp_path / "new")
    await all_there(there, files)


async def test_what_comes_while_a_store_is_open_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "FOLLOW", LOOKS)
    monkeypatch.setattr(opening, "MARKERS", 0.0)
    here, there = await two(tmp_path)
    async with open_store(there) as store:
        await add_backend(here, "new", str(tmp_path / "new"))
        await eventually(lambda: "new" in states(store))
        await drain_backend(here, "new", MoveRequest())
        await eventually(lambda: states(store)["new"] == "draining")


async def test_who_has_a_store_open_undoes_nothing_that_was_changed_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The markers that it has read are of a time before that."""
    monkeypatch.setattr(opening, "FOLLOW", LOOKS)
    here, _ = await two(tmp_path)
    async with open_store(here) as store:
        await add_backend(here, "new", str(tmp_path / "new"))
        await eventually(lambda: states(store).get("new") == "up")
        await remove_backend(here, "d1")
        await eventually(lambda: "d1" not in states(store))
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert list(states(store)) == ["d0", "d2", "new"]
    assert names(here) == ["d0", "d2", "new"]


async def test_what_was_absent_is_used_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever has the store open, too."""
    monkeypatch.setattr(opening, "FOLLOW", LOOKS)
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    (tmp_path / "new").rename(tmp_path / "away")
    async with open_store(there) as store:
        assert states(store)["new"] == "down"
        await add_backend(there, "new", str(tmp_path / "away"))
        await eventually(lambda: states(store)["new"] == "up")


async def test_nothing_is_put_where_another_folder_drains(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    await drain_backend(here, "d1", MoveRequest())
    async with open_store(there) as store:
        assert states(store)["d1"] == "draining"
        weights(tmp_path / "b", 300_000, "b")
        await add(store, tmp_path / "b", "acme/b")
    assert not shard_files(tmp_path / "s", "d1")
    await stop_draining(here, "d1")
    async with open_store(there) as store:
        assert states(store)["d1"] == "up"


async def test_what_one_folder_removes_the_others_remove(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    await remove_backend(here, "d1")
    async with open_store(there) as store:
        assert states(store)["d1"] == "draining"  # read, as long as the index has shards there
        assert await read(store, "acme/a/a")
        weights(tmp_path / "b", 300_000, "b")
        await add(store, tmp_path / "b", "acme/b")
    assert not shard_files(tmp_path / "s", "d1")
    async with open_store(there) as store:
        assert list(states(store)) == ["d0", "d2", "new"]
    assert names(there) == ["d0", "d2", "new"]
    await add_backend(there, "d1", str(tmp_path / "s/backends/d1"))
    async with open_store(here) as store:
        assert states(store) == dict.fromkeys(["d0", "d2", "new", "d1"], "up")


async def test_a_dead_one_that_another_folder_removed_goes(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    shutil.rmtree(tmp_path / "s/backends/d1")
    (tmp_path / "s/backends/d1").write_text("no directory")
    await remove_backend(here, "d1", MoveRequest(force=True))
    async with open_store(there) as store:
        assert states(store)["d1"] == "down"  # as long as the index has shards there
        await add(store, tmp_path / "a", "acme/b")  # takes over what the other folder recorded
    async with open_store(there) as store:
        assert list(states(store)) == ["d0", "d2", "new"]
        assert await read(store, "acme/a/a")


async def test_one_that_few_list_is_not_forgotten_with_its_shards(tmp_path: Path) -> None:
    """Others were away when it came, or were told of an older list since; then it is away."""
    here, _ = await two(tmp_path)
    markers = {p: p.read_bytes() for p in (tmp_path / "s/backends").glob("*/modelfloat.json")}
    files = await added(tmp_path, here, "new0", "new1")
    for path, data in markers.items():
        path.write_bytes(data)
    for name in ("new0", "new1"):
        (tmp_path / name).rename(tmp_path / f"{name}-away")
    async with open_store(here) as store:
        assert (states(store)["new0"], states(store)["new1"]) == ("down", "down")
        with pytest.raises(UnavailableError, match="down nothing is deleted"):
            await store.gc(grace=0)
    for name in ("new0", "new1"):
        (tmp_path / f"{name}-away").rename(tmp_path / name)
    await all_there(here, files)


async def test_what_is_added_while_all_others_are_away_stays(tmp_path: Path) -> None:
    """In a store that nobody shares: its only copies lie there."""
    async with fresh_store(tmp_path / "s", "3+0"):
        pass
    here = str(tmp_path / "s")
    (tmp_path / "s/backends").rename(tmp_path / "away")
    (tmp_path / "s/backends").write_text("a disk that is not mounted")
    data = weights(tmp_path / "b", 300_000, "b")
    await add_backend(here, "new", str(tmp_path / "new"))
    async with open_store(here) as store:
        await add(store, tmp_path / "b", "acme/b")
    (tmp_path / "s/backends").unlink()
    (tmp_path / "away").rename(tmp_path / "s/backends")
    (tmp_path / "new").rename(tmp_path / "gone")
    async with open_store(here) as store:
        assert states(store)["new"] == "down"
    (tmp_path / "gone").rename(tmp_path / "new")
    async with open_store(here) as store:
        assert await read(store, "acme/b/b") == data


async def test_one_that_was_made_anew_takes_the_place_of_the_old(tmp_path: Path) -> None:
    """A place that was lost, and begun again empty, under its old name."""
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    await add_backend(here, "spare", str(tmp_path / "spare"))
    async with open_store(there) as store:
        await add(store, tmp_path / "a", "acme/again")
    shutil.rmtree(tmp_path / "new")
    await remove_backend(here, "new", MoveRequest(force=True))
    await add_backend(here, "new", str(tmp_path / "new"))
    async with open_store(there) as store:
        await add(store, tmp_path / "a", "acme/more")  # takes over what the other folder recorded
    async with open_store(there) as store:
        assert set(states(store).values()) == {"up"}
        assert (await store.verify()).exit_status == 0
    assert {b.id for b in read_config(there).backends} == {b.id for b in read_config(here).backends}


async def test_both_add_and_neither_takes_anything_away(tmp_path: Path) -> None:
    """Who writes the markers again leaves in them what he could not use himself."""
    here, there = await two(tmp_path)
    await add_backend(here, "far", str(tmp_path / "far"))
    (tmp_path / "far").rename(tmp_path / "away")
    await add_backend(there, "new", str(tmp_path / "new"))
    await change_backend(there, "new", {"weight": 2})
    (tmp_path / "away").rename(tmp_path / "far")
    for folder in (here, there):
        async with open_store(folder) as store:
            assert states(store) == dict.fromkeys(["d0", "d1", "d2", "far", "new"], "up")
    assert read_config(here).backend("new").weight == 2
    joined = tmp_path / "third"
    await join(joined, tmp_path / "s/backends/d0")
    assert names(str(joined)) == ["d0", "d1", "d2", "far", "new"]


async def test_a_name_that_another_folder_took_is_refused(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    with pytest.raises(ExistsError, match="has a backend new already"):
        await add_backend(there, "new", str(tmp_path / "mine"))
    await add_backend(here, "far", str(tmp_path / "far"))
    (tmp_path / "far").rename(tmp_path / "away")
    with pytest.raises(ExistsError, match="another folder added a backend far to the store"):
        await add_backend(there, "far", str(tmp_path / "mine"))
    with pytest.raises(ExistsError, match="is the backend far of this store"):
        await add_backend(there, "mine", str(tmp_path / "away"))
    await add_backend(there, "far", str(tmp_path / "away"))
    async with open_store(there) as store:
        assert set(states(store).values()) == {"up"}


async def test_two_of_one_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both were added at the same moment."""
    here, there = await two(tmp_path)
    before = read_config(there)

    async def nothing(self: object, config: object) -> None:
        """This folder looked before the other one was done."""

    await add_backend(here, "new", str(tmp_path / "one"))
    with monkeypatch.context() as patched:
        patched.setattr(sharedlist.SharedList, "follow", nothing)
        patched.setattr("modelfloat.backendchanges._as_told", lambda new, _told: new)
        assert read_config(there) == before
        await add_backend(there, "new", str(tmp_path / "two"))
    for folder in (here, there, here):
        async with open_store(folder) as store:
            assert set(states(store).values()) == {"up"}
            assert len(states(store)) == 5


async def test_one_backend_alone_leads_nowhere(tmp_path: Path) -> None:
    """Whoever has one of several can neither add nor remove others; that it leaves itself only
    concerns itself."""
    _, there = await two(tmp_path)
    for name in ("x0", "x1"):
        shutil.copytree(tmp_path / "s/backends/d0", tmp_path / name)

    def lie(marker: dict[str, Any]) -> None:
        own = marker["backends"][0]
        marker["backends"] = [
            own | {"backend": f"{n:032x}", "name": f"x{n}", "url": str(tmp_path / f"x{n}")}
            for n in range(2)
        ]

    change_marker(tmp_path / "s/backends/d0", lie)
    async with open_store(there) as store:
        assert states(store) == {"d0": "draining", "d1": "up", "d2": "up"}
        await add(store, tmp_path / "a", "acme/again")
    assert names(there) == ["d0", "d1", "d2"]


@pytest.mark.parametrize(
    "url", ["s3://bucket?endpoint=http://127.0.0.1:9", "webdav://127.0.0.1:9/a", "backends/x"]
)
async def test_no_server_is_spoken_with_that_the_user_did_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    await two(tmp_path)
    for i in range(3):
        (tmp_path / f"s/backends/d{i}").rename(tmp_path / f"d{i}")
    places = [tmp_path / f"d{i}" for i in range(3)]
    third = tmp_path / "third"
    await join(third, *(Place(str(p), p.name) for p in places))
    opened: list[str] = []
    real = sharedlist.open_configured
    monkeypatch.setattr(
        sharedlist, "open_configured", lambda p, b, **k: (opened.append(b.url), real(p, b, **k))[1]
    )

    def tell(marker: dict[str, Any]) -> None:
        entry = marker["backends"][0] | {"backend": "ab" * 16, "name": "x", "url": url}
        marker["backends"].append(entry)

    for place in places:
        change_marker(place, tell)
    async with open_store(str(third)) as store:
        assert states(store)["x"] == "down"
        reason = (await store.backends())[3].reason
        assert "its address is not one to be used without your word" in reason
        assert f"`modelfloat backend add x {url}`" in reason
    assert not opened


async def test_who_decides_is_the_same_everywhere(tmp_path: Path) -> None:
    """After the first one was removed, while another folder still reads there."""
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    await remove_backend(here, "d0", MoveRequest(force=True))
    homes = []
    for folder in (here, there):
        async with open_store(folder) as store:
            home = home_of(store.members)
            homes.append(home and home.name)
    assert homes == ["d1", "d1"]


async def test_an_index_is_made_from_all_that_others_added(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    files = await added(tmp_path, here, *(f"new{n}" for n in range(6)))
    await rebuild_store(there)
    await all_there(there, files)


async def test_an_interrupted_add_of_a_backend_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await two(tmp_path)

    def dies(_path: str, _config: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("modelfloat.backendchanges.write_config", dies)
        with pytest.raises(KeyboardInterrupt):
            await add_backend(here, "new", str(tmp_path / "new"))
    for folder in (here, there):
        async with open_store(folder) as store:
            assert states(store)["new"] == State.UP


async def test_what_was_put_there_meanwhile_keeps_a_backend_from_going(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a writer elsewhere who had begun before it was leaving, and was waited for."""
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    see = retiring._let_writers_see
    weights(tmp_path / "b", 300_000, "b")

    async with open_store(there) as store:

        async def put_there(path: str, wait: bool) -> None:
            store.members.refresh = trio.lowlevel.checkpoint  # it has not looked since
            while not shard_files(tmp_path / "s", "d1"):
                await add(store, tmp_path / "b", "acme/b")
                weights(tmp_path / "b", 300_000, f"more {secrets.token_hex(4)}")
            await see(path, wait)

        with monkeypatch.context() as patched:
            patched.setattr(retiring, "_let_writers_see", put_there)
            with pytest.raises(BusyError, match=r"shards of \d+ packs stay on d1"):
                await remove_backend(here, "d1")
    await remove_backend(here, "d1")
    assert not shard_files(tmp_path / "s", "d1")
    async with open_store(here) as store:
        assert (await store.verify()).exit_status == 0


async def test_a_writer_elsewhere_is_waited_for_before_a_backend_goes(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    await add_backend(here, "new", str(tmp_path / "new"))
    async with open_store(there) as store, store.access.in_session("a test"):
        with pytest.raises(LockedError, match="writes to the store; try again later"):
            await remove_backend(here, "d1", MoveRequest(wait=False))
    await remove_backend(here, "d1", MoveRequest(wait=False))
    assert names(here) == ["d0", "d2", "new"]
