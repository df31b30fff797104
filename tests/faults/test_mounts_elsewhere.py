"""Mounts on other machines: what is open there stays, and nothing is deleted at once beside one."""

import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from modelfloat.backends.base import Backend, Listed
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.cas.encryption.secrets import Secret
from modelfloat.cas.formats.presence import MOST_OPEN, SIZE, Presence, decode_presence
from modelfloat.cas.gc import merging
from modelfloat.cas.gc.elsewhere import AT_ONCE
from modelfloat.cas.gc.others import REMEMBERED
from modelfloat.cas.gc.sweeping import Sweeper
from modelfloat.cas.lease.home import home_of
from modelfloat.cas.lease.lease import MARGIN
from modelfloat.cas.lease.mounts import RENEWALS, TERM
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import BusyError, UnavailableError
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support.ages import DAY, days_ago, grow_old
from modelfloat.tests.support.encrypted import ALICE, make_encrypted
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import (
    add,
    forget_chunks,
    fresh_store,
    read,
    shard_files,
    weights,
)


def sessions(path: Path) -> list[Path]:
    return sorted((path / "backends").glob("*/sessions/*"))


class Watched(FaultyBackend):
    """Notes what is listed."""

    def __init__(self, backend: Backend, listed: list[str]) -> None:
        super().__init__(backend)
        self._listed = listed

    def list(self, prefix: str = "") -> AsyncGenerator[Listed]:
        self._listed.append(prefix)
        return super().list(prefix)


async def eventually(happened: Callable[[], bool]) -> None:
    while not happened():
        await trio.testing.wait_all_tasks_blocked(0.01)


@dataclass
class Scene:
    """Two sites of one store; the second one has a mount, on which `opened` is open."""

    here: Store
    there: Store
    path: Path
    data: bytes
    opened: list[ObjectId] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def mounted(self) -> AsyncIterator[None]:
        """While the second site has the store mounted."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.there.mounted, lambda: self.opened)
            yield
            nursery.cancel_scope.cancel()

    async def read_there(self) -> bytes:
        """What is open there, read from the backends."""
        reader = self.there.reader.open(self.there.objects.manifest(self.opened[0]))
        return bytes(await reader.read(0, len(self.data)))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """acme/a was removed long ago, and is open on a mount elsewhere that is as old."""
    data = weights(tmp_path / "a", 1_500_000, "a")
    await create_store(str(tmp_path / "s"), Scheme(2, 1), [], reserve=0)
    async with sites(tmp_path, data) as found:
        yield found


@contextlib.asynccontextmanager
async def sites(tmp_path: Path, data: bytes, secret: Secret | None = None) -> AsyncIterator[Scene]:
    """The scene in a new store that is at `tmp_path`/s; `secret` opens it if it is encrypted."""
    async with open_store(str(tmp_path / "s"), secret=secret) as here:
        with days_ago(60):
            await add(here, tmp_path / "a", "acme/a")
        other = await another_site(tmp_path / "s", tmp_path / "other", secret)
        async with open_store(str(other), secret=secret) as there:
            found = Scene(here, there, tmp_path / "s", data)
            found.opened.append(there.find(parse_address("acme/a/a")).object)
            with days_ago(30):
                await here.remove(parse_address("acme/a"))
            grow_old(shard_files(tmp_path / "s"), 60 * DAY)
            yield found


async def test_what_is_open_on_a_mount_elsewhere_is_kept_and_named(scene: Scene) -> None:
    site = await scene.there.access.sharing.site()
    async with scene.mounted():
        assert len(sessions(scene.path)) == 2  # m+1
        # What was removed before others could see it is not shown.
        assert scene.there.refs.repositories() == []
        planned = await scene.here.gc(dry_run=True)
        report = await scene.here.gc()
        assert [kept.who for kept in report.kept] == [f"a mount of the site {site.hex()[:8]}"]
        assert report.kept == planned.kept
        assert report.kept[0].size > len(scene.data)
        assert await scene.read_there() == scene.data
        scene.opened.clear()
    assert sessions(scene.path) == []
    report = await scene.here.gc()
    assert report.deleted > 0
    assert shard_files(scene.path) == []


async def test_a_mount_begins_also_where_nobody_tells_what_others_recorded(scene: Scene) -> None:
    for member in scene.there.members:
        silent = FaultyBackend(member.backend)
        silent.inject("unavailable", on=["list"], prefix="journal/")
        member.backend = silent
    async with scene.mounted():
        assert await scene.read_there() == scene.data


async def test_mounts_of_an_encrypted_store_tell_no_names(tmp_path: Path) -> None:
    data = weights(tmp_path / "a", 1_500_000, "a")
    await make_encrypted(tmp_path / "s")
    async with sites(tmp_path, data, ALICE) as scene, scene.mounted():
        record, _ = (path.read_bytes() for path in sessions(scene.path))
        assert scene.opened[0] in record  # the keyed id
        assert len(record) == SIZE + 32
        assert (await scene.here.gc()).kept
        assert await scene.read_there() == data


@pytest.mark.parametrize("grace", [0, AT_ONCE - 1])
async def test_nothing_is_deleted_at_once_beside_a_mount_elsewhere(
    scene: Scene, grace: float
) -> None:
    """Even one on which nothing is open: it may show what was just removed."""
    scene.opened.clear()
    left = set(shard_files(scene.path))
    async with scene.mounted():
        with pytest.raises(BusyError, match=r"the site \w{8} has the store mounted, and so short"):
            await scene.here.gc(grace=grace)
        assert set(shard_files(scene.path)) == left
        assert not list((scene.path / "backends").glob("*/condemned/*"))
    assert (await scene.here.gc(grace=grace)).deleted > 0


async def test_a_dry_run_says_that_it_would_be_refused(scene: Scene) -> None:
    scene.opened.clear()
    async with scene.mounted():
        with pytest.raises(BusyError) as refused:
            await scene.here.gc(grace=0)
        planned = await scene.here.gc(grace=0, dry_run=True)
        assert planned.refused == str(refused.value)
        assert planned.deleted > 0
        assert (await scene.here.gc(dry_run=True)).refused == ""
        # Those of this folder hinder nobody here.
        assert (await scene.there.gc(grace=0, dry_run=True)).refused == ""
    async with scene.there.access.in_session("a test"):
        assert "writes to the store" in (await scene.here.gc(grace=0, dry_run=True)).refused
        for record in sessions(scene.path):  # as one that was killed leaves them
            os.utime(record, (0, 0))
        assert (await scene.here.gc(grace=0, dry_run=True)).refused == ""
    done = await scene.here.gc(grace=0)
    assert (done.refused, done.deleted) == ("", planned.deleted)


async def test_ones_own_mounts_are_asked_themselves(scene: Scene) -> None:
    async with scene.mounted():
        assert (await scene.there.gc(grace=0)).deleted > 0


async def test_nothing_is_deleted_at_once_beside_a_writer_elsewhere(scene: Scene) -> None:
    left = set(shard_files(scene.path))
    async with scene.there.access.in_session("a test"):
        with pytest.raises(BusyError, match=r"the site \w{8} writes to the store, and so short"):
            await scene.here.gc(grace=0)
        assert set(shard_files(scene.path)) == left
    assert (await scene.here.gc(grace=0)).deleted > 0


async def test_who_comes_while_garbage_is_condemned_stops_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked again right before the deletes; what was condemned is spared the next time."""
    left = set(shard_files(scene.path))
    real = Sweeper.condemn
    async with trio.open_nursery() as nursery:

        async def mount_then_condemn(self: Sweeper, packs: object) -> None:
            await nursery.start(scene.there.mounted, lambda: scene.opened)
            await real(self, packs)  # type: ignore[arg-type]

        monkeypatch.setattr(Sweeper, "condemn", mount_then_condemn)
        with pytest.raises(BusyError, match="has the store mounted"):
            await scene.here.gc(grace=0)
        monkeypatch.undo()
        assert set(shard_files(scene.path)) == left
        assert await scene.read_there() == scene.data
        assert (await scene.here.gc()).kept
        assert not list((scene.path / "backends").glob("*/condemned/*"))
        nursery.cancel_scope.cancel()


async def test_a_collection_beside_a_mount_of_its_own_leaves_that_to_be_seen(scene: Scene) -> None:
    """It asks that one itself; who collects elsewhere has nothing but the record."""
    async with scene.mounted():
        told = sessions(scene.path)
        await scene.there.gc()
        assert sessions(scene.path) == told
        with pytest.raises(BusyError, match="has the store mounted"):
            await scene.here.gc(grace=0)
    assert sessions(scene.path) == []


async def test_where_a_backend_is_full_sessions_count_as_alive(scene: Scene) -> None:
    """How old their records are is told by one that is written anew. What frees space goes on."""
    async with scene.mounted():
        kept = {path: path.read_bytes() for path in sessions(scene.path)}
    for path, record in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(record)
    grow_old(kept, 2 * REMEMBERED)
    home = home_of(scene.here.members)
    for member in scene.here.members:
        if member is not home:
            member.backend = faulty = FaultyBackend(member.backend)
            faulty.inject("full", on=["put"], prefix="sites/")
    assert (await scene.here.gc()).kept
    scene.opened.clear()
    for path in kept:
        path.unlink()
    assert (await scene.here.gc()).deleted > 0


async def test_a_mount_is_forgotten_a_day_after_it_was_last_heard_of(scene: Scene) -> None:
    """Cut off for a while it loses nothing; but it keeps nobody from deleting what is new."""
    async with scene.mounted():
        kept = {path: path.read_bytes() for path in sessions(scene.path)}
    for path, record in kept.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(record)
    grow_old(kept, TERM + MARGIN + 5)
    assert (await scene.here.gc(grace=0)).deleted == 0
    assert await scene.read_there() == scene.data
    assert sessions(scene.path) == sorted(kept)
    grow_old(kept, REMEMBERED + 5)
    assert (await scene.here.gc(grace=0)).deleted > 0
    assert sessions(scene.path) == []


async def test_a_mount_that_cannot_name_all_keeps_everything(scene: Scene) -> None:
    left = set(shard_files(scene.path))
    scene.opened[:0] = [ObjectId(number.to_bytes(32)) for number in range(MOST_OPEN)]
    async with scene.mounted():
        with pytest.raises(UnavailableError, match="has 16,385 files open, more than it can name"):
            await scene.here.gc()
        assert set(shard_files(scene.path)) == left
    assert (await scene.here.gc()).deleted > 0


async def test_alone_a_mount_writes_nothing_and_is_told_as_soon_as_others_come(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    weights(tmp_path / "a", 100_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        opened = [store.find(parse_address("acme/a/a")).object]
        async with trio.open_nursery() as nursery:
            await nursery.start(store.mounted, lambda: opened)
            looked: list[str] = []
            for member in store.members:
                member.backend = Watched(member.backend, looked)
            mock_clock.jump(TERM / RENEWALS + 1)
            await eventually(lambda: len(looked) == len(store.members))
            assert sessions(tmp_path / "s") == []
            other = await another_site(tmp_path / "s", tmp_path / "other")
            async with open_store(str(other)) as there:
                await add(there, tmp_path / "a", "acme/b")  # as who writes it is known
            mock_clock.jump(TERM / RENEWALS + 1)
            await eventually(lambda: len(sessions(tmp_path / "s")) == 2)
            records = [decode_presence(p.read_bytes(), p.name) for p in sessions(tmp_path / "s")]
            assert [record.kind for record in records] == [Presence.MOUNT] * 2
            assert records[0].open == tuple(opened)
            nursery.cancel_scope.cancel()
        assert sessions(tmp_path / "s") == []


async def test_a_mount_goes_on_that_cannot_be_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for member in scene.there.members:
        member.backend = faulty = FaultyBackend(member.backend)
        faulty.inject("denied", on=["put"], prefix="sessions/")
    async with scene.mounted():
        assert await scene.read_there() == scene.data
    assert "does not know what is open on this mount" in caplog.text
    caplog.clear()


async def test_who_reads_elsewhere_finds_what_was_copied_into_a_new_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index knows the old pack only, whose shards are gone when it reads on."""
    monkeypatch.setattr(merging, "MANY", 2)
    files = {name: weights(tmp_path / name, 200_000, name) for name in "ab"}
    async with fresh_store(tmp_path / "s", "2+1") as here:
        for name in files:
            await add(here, tmp_path / name, f"acme/{name}")
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            assert await read(there, "acme/a/a") == files["a"]
            forget_chunks(there)
            assert (await here.gc(grace=0)).merged > 0
            old = {pack.id for pack in there.index.packs()}
            results: list[bytes] = []

            async def read_too(name: str) -> None:
                results.append(await read(there, f"acme/{name}/{name}"))

            async with trio.open_nursery() as nursery:
                for name in files:
                    nursery.start_soon(read_too, name)
            assert sorted(results) == sorted(files.values())
            assert not old & {pack.id for pack in there.index.packs()}
