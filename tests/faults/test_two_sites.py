"""Two sites over one store's backends: neither deletes what the other needs, no update is lost."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from modelfloat.backendchanges import add_backend
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import session_key, site_key
from modelfloat.cas import sharing
from modelfloat.cas.add.committing import Committer
from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.formats.presence import Presence, PresenceRecord, encode_presence
from modelfloat.cas.gc import elsewhere, others
from modelfloat.cas.journal.slots import note_given_up
from modelfloat.cas.lease import lease
from modelfloat.cas.lease.clock import boottime
from modelfloat.cas.lease.home import home_of
from modelfloat.cas.lease.lease import MARGIN
from modelfloat.cas.lease.sessions import COMMIT_STEP, TERM
from modelfloat.cas.lease.sites import FILE, UNUSED, own_site
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.config import read_config
from modelfloat.draining import MoveRequest
from modelfloat.errors import (
    BusyError,
    LeaseLostError,
    LockedError,
    NotFoundError,
    UnavailableError,
)
from modelfloat.ids import SiteId, StoreId, WriterId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.retiring import remove_backend
from modelfloat.tests.support.ages import grow_old
from modelfloat.tests.support.sites import another_site, without_conditional_puts
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

Moved = Callable[[], Awaitable[None]]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at what others do follow each other without a pause worth the name."""
    for module in (lease, others):
        monkeypatch.setattr(module, "POLL", 0.01)


@pytest.fixture(autouse=True)
def at_once_beside_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is new and was just removed may be deleted while others are at work: so these tests need
    no clock. `test_mounts_elsewhere` tests that it is refused."""
    monkeypatch.setattr(elsewhere, "AT_ONCE", 0)


@contextlib.asynccontextmanager
async def two_sites(tmp_path: Path, *names: str) -> AsyncIterator[tuple[Store, Store]]:
    """Both open; the files `names` were added as acme/NAME before the second one came."""
    async with fresh_store(tmp_path / "s", "2+1") as here:
        for name in names:
            await add(here, tmp_path / name, f"acme/{name}")
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as there:
            yield here, there


def before_the_ref_moves(monkeypatch: pytest.MonkeyPatch, store: Store, work: Moved) -> None:
    """Have `work` done once when an add of `store` is about to move its ref."""
    move, done = Committer._move, []

    async def patched(self: Committer, *arguments: object) -> bool:
        if self._w.index is store.index and not done:
            done.append(True)
            await work()
        return await move(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Committer, "_move", patched)


def sessions(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "s/backends").glob("*/sessions/*")}


def condemned(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "s/backends").glob("*/condemned/*")}


async def eventually(happened: Callable[[], bool]) -> None:
    while not happened():
        await trio.testing.wait_all_tasks_blocked(0.01)


async def clean(store: Store) -> None:
    report = await store.verify()
    assert (report.exit_status, report.problems) == (0, [])


async def test_an_add_after_a_collection_elsewhere_finds_nothing_stored(tmp_path: Path) -> None:
    """Its index knows the pack still: the tombstone is taken over before anything is relied on."""
    data = weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        await here.remove(parse_address("acme/a"))
        assert (await here.gc(grace=0)).deleted
        await add(there, tmp_path / "a", "acme/again")
        assert await read(there, "acme/again/a") == data
        await clean(there)


async def test_an_add_stores_again_what_was_condemned_while_it_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = weights(tmp_path / "a", 1_500_000, "a")
    deleted: list[int] = []
    async with two_sites(tmp_path, "a") as (here, there), trio.open_nursery() as nursery:

        async def collect() -> None:
            deleted.append((await here.gc(grace=0)).deleted)

        async def remove_and_condemn() -> None:
            await here.remove(parse_address("acme/a"))
            nursery.start_soon(collect)
            await eventually(lambda: bool(condemned(tmp_path)))

        before_the_ref_moves(monkeypatch, there, remove_and_condemn)
        report = await add(there, tmp_path / "a", "acme/again")
        assert report.new > 0
        assert await read(there, "acme/again/a") == data
    assert deleted[0] > 0
    async with open_store(str(tmp_path / "other")) as there:
        await there.gc(grace=0)
        assert await read(there, "acme/again/a") == data
        await clean(there)


async def test_what_an_add_elsewhere_has_stored_is_not_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ref reaches it, and it is as old as one likes."""
    weights(tmp_path / "a", 1_500_000, "a")
    data = weights(tmp_path / "b", 1_500_000, "b")
    async with two_sites(tmp_path, "a") as (here, there):

        async def collect_twice() -> None:
            assert sessions(tmp_path)
            for _ in range(2):
                before = set(shard_files(tmp_path / "s"))
                await here.gc(grace=0)
                assert set(shard_files(tmp_path / "s")) == before

        before_the_ref_moves(monkeypatch, there, collect_twice)
        await add(there, tmp_path / "b", "acme/b")
        assert not sessions(tmp_path)
        assert await read(there, "acme/b/b") == data
        await clean(there)


async def test_an_orphan_may_be_a_shard_that_another_site_is_storing(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        stray = tmp_path / "s/backends/d0/packs/ab" / ("ab" * 16) / "0-2-1"
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"on its way")
        async with there.access.in_session("a test"):
            await here.gc(grace=0)
            assert stray.exists()
        await here.gc(grace=0)
        assert not stray.exists()


async def test_who_does_not_wait_deletes_nothing_beside_an_add(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        await here.remove(parse_address("acme/a"))
        left = set(shard_files(tmp_path / "s"))
        async with open_store(str(tmp_path / "s"), wait=False) as hasty:
            async with there.access.in_session("a test"):
                with pytest.raises(LockedError, match="writes to the store; try again later"):
                    await hasty.gc(grace=0)
            assert set(shard_files(tmp_path / "s")) == left
            assert (await hasty.gc(grace=0)).deleted


def leave_session(
    tmp_path: Path, store: StoreId, site: SiteId, age: float, writer: WriterId
) -> None:
    """The record of a session whose writer died so long ago (s)."""
    record = PresenceRecord(Presence.SESSION, store, site, bytes(writer), 0, TERM)
    path = tmp_path / "s/backends/d0" / session_key(writer)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_presence(record))
    os.utime(path, (time.time() - age, time.time() - age))


@pytest.mark.parametrize("own", [True, False])
async def test_a_dead_session_keeps_nothing(tmp_path: Path, own: bool) -> None:
    """One's own at once, for its writer's lock is free; another's when it has ended."""
    weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, _):
        site = own_site(str(tmp_path / "s/locks")) if own else SiteId(bytes(16))
        writer = WriterId(secrets.token_bytes(16))
        if own:
            note_given_up(str(tmp_path / "s/locks"), {writer: 0})
        leave_session(tmp_path, here.id, site, 0 if own else TERM + MARGIN + 5, writer)
        await here.remove(parse_address("acme/a"))
        async with open_store(str(tmp_path / "s"), wait=False) as hasty:
            assert (await hasty.gc(grace=0)).deleted
            assert sessions(tmp_path) == ({writer.hex()} if own else set())
            grow_old((tmp_path / "s/backends").glob("*/sessions/*"), TERM + MARGIN + 5)
            await hasty.gc(grace=0)
        assert not sessions(tmp_path)


async def test_concurrent_adds_to_one_branch_follow_each_other(tmp_path: Path) -> None:
    """The ref home decides: every commit has one head, and all files are there."""
    files = {name: weights(tmp_path / name, 300_000, name) for name in "abcdef"}
    async with two_sites(tmp_path) as sites, trio.open_nursery() as nursery:
        for number, name in enumerate(files):
            nursery.start_soon(add, sites[number % 2], tmp_path / name, "acme/m")
    async with open_store(str(tmp_path / "s")) as store:
        async with store.access.writing("a test") as journal:
            await journal.take_over()
        head = store.refs.head(parse_address("acme/m").repo, RefKind.BRANCH, "main")
        assert head is not None
        assert len(list(store.index.refs())) == 1
        for name, data in files.items():
            assert await read(store, f"acme/m/{name}") == data


async def test_without_a_ref_home_two_heads_are_seen_and_neither_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = {name: weights(tmp_path / name, 300_000, name) for name in "ab"}
    async with two_sites(tmp_path) as (here, there):
        for store in (here, there):
            without_conditional_puts(store)
        append, moved = type(there.access).refs, []

        @contextlib.asynccontextmanager
        async def overtaken(self: object, *arguments: object) -> AsyncIterator[object]:
            async with append(self, *arguments) as fence:  # type: ignore[arg-type]
                if self is there.access and not moved:
                    moved.append(True)
                    await add(here, tmp_path / "a", "acme/m")
                yield fence

        monkeypatch.setattr(type(there.access), "refs", overtaken)
        await add(there, tmp_path / "b", "acme/m")
        async with here.access.writing("a test") as journal:
            await journal.take_over()
        heads = [head.commit.hex() for head in here.index.refs()]
        assert len(heads) == 2
        for head in heads:
            (name,) = (n for n in files if has(here, f"acme/m@{head}/{n}"))
            assert await read(here, f"acme/m@{head}/{name}") == files[name]
        with pytest.raises(UnavailableError, match="none of these decides who of them goes first"):
            await here.gc(grace=0)
        repo = parse_address("acme/m").repo
        assert sorted(id_.hex() for id_ in here.refs.starts(repo)) == sorted(heads)
        await here.branch(repo, "main", heads[0])
        async with there.access.writing("a test") as journal:
            await journal.take_over()
        assert here.refs.resolve(repo).hex() == there.refs.resolve(repo).hex() == heads[0]
    assert "gets two heads" in caplog.text
    caplog.clear()


@pytest.mark.parametrize("home", [True, False])
async def test_who_slept_before_its_ref_moved_does_not_move_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: bool
) -> None:
    """Without a ref home no lease ends: but the others wait no longer than COMMIT_STEP."""
    async with two_sites(tmp_path) as (here, there):
        async with here.access.in_session("a test"):
            pass
        if not home:
            without_conditional_puts(there)
        async with (
            there.access.in_session("a test") as (journal, session),
            there.access.refs(journal, session) as fence,
        ):
            fence()
            later = boottime() + COMMIT_STEP
            monkeypatch.setattr(sharing, "boottime", lambda: later)
            with pytest.raises(LeaseLostError, match="stood still for too long"):
                fence()


async def test_a_bucket_that_was_not_tried_may_be_the_home_of_others(tmp_path: Path) -> None:
    """Two homes, two who delete: a configuration made from a marker lacks what was tried."""
    weights(tmp_path / "a", 300_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        first, second, _ = here.members
        first.untried = True
        assert home_of(here.members) is None
        await add(there, tmp_path / "a", "acme/again")
        with pytest.raises(UnavailableError, match="and d0 was not tried: it may be what decides"):
            await here.gc(grace=0)
        first.untried, second.untried = False, True
        assert home_of(here.members) is first
        await here.gc(grace=0)


def has(store: Store, address: str) -> bool:
    try:
        store.find(parse_address(address))
    except NotFoundError:
        return False
    return True


async def test_alone_a_store_needs_no_ref_home(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        without_conditional_puts(store)
        await add(store, tmp_path / "a", "acme/a")
        await store.remove(parse_address("acme/a"))
        assert (await store.gc(grace=0)).deleted


async def test_with_the_ref_home_down_nothing_is_deleted_where_others_may_be(
    tmp_path: Path,
) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    weights(tmp_path / "b", 300_000, "b")
    async with fresh_store(tmp_path / "s") as here:
        await add(here, tmp_path / "a", "acme/a")
        await here.remove(parse_address("acme/a"))
        async with open_store(str(await another_site(tmp_path / "s", tmp_path / "other"))) as there:
            await add(there, tmp_path / "b", "acme/b")
    (tmp_path / "s/backends/d0").rename(tmp_path / "away")
    async with open_store(str(tmp_path / "s")) as here:
        left = set(shard_files(tmp_path / "s"))
        with pytest.raises(
            UnavailableError, match="d0, which decides who of them goes first, is down"
        ):
            await here.gc(grace=0)
        assert set(shard_files(tmp_path / "s")) == left


async def test_sessions_that_cannot_be_listed_end_a_collection(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/a")
        await store.remove(parse_address("acme/a"))
        left = set(shard_files(tmp_path / "s"))
        for member in store.members:
            faulty = FaultyBackend(member.backend)
            faulty.inject("denied", on=["list"], prefix="sessions/")
            member.backend = faulty
        with pytest.raises(UnavailableError, match="sessions cannot be listed"):
            await store.gc(grace=0)
        assert set(shard_files(tmp_path / "s")) == left


@pytest.mark.parametrize("how", ["fails", "damaged"])
async def test_what_a_session_stored_that_cannot_be_read_ends_a_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """It is no end of what that session has recorded: the packs behind it would be garbage."""
    weights(tmp_path / "a", 1_500_000, "a")
    data = weights(tmp_path / "b", 1_500_000, "b")
    refused: list[str] = []
    async with two_sites(tmp_path, "a") as (here, there):
        plain = {member.name: member.backend for member in here.members}

        async def collect() -> None:
            (writer,) = sessions(tmp_path)
            records = list((tmp_path / "s/backends").glob(f"*/journal/{writer}/*"))
            assert records
            kept = {path: path.read_bytes() for path in records}
            for path, content in kept.items() if how == "damaged" else ():
                path.write_bytes(content[:-1])
            for member in here.members if how == "fails" else ():
                member.backend = faulty = FaultyBackend(plain[member.name])
                faulty.inject("denied", on=["get"], prefix=f"journal/{writer}/")
            before = set(shard_files(tmp_path / "s"))
            with pytest.raises(UnavailableError) as failed:
                await here.gc(grace=0)
            refused.append(str(failed.value))
            assert set(shard_files(tmp_path / "s")) == before
            for path, content in kept.items():
                path.write_bytes(content)

        before_the_ref_moves(monkeypatch, there, collect)
        await add(there, tmp_path / "b", "acme/b")
        assert await read(there, "acme/b/b") == data
        await clean(there)
    assert refused
    assert "what another site has stored cannot be read: " in refused[0]


async def test_what_decides_between_sites_stays_on_the_list(tmp_path: Path) -> None:
    """With two of them two sites could delete at once."""
    weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        await there.remove(parse_address("acme/a"))  # as who writes it is known
        home = home_of(here.members)
        assert home is not None
        other = next(member.name for member in here.members if member is not home)
    for name in ("d3", "d4"):
        await add_backend(str(tmp_path / "s"), name, str(tmp_path / name))
    with pytest.raises(BusyError, match=f"and {home.name} decides who of them goes first"):
        await remove_backend(str(tmp_path / "s"), home.name)
    await remove_backend(str(tmp_path / "s"), other)
    await remove_backend(str(tmp_path / "s"), home.name, MoveRequest(force=True))
    left = [backend.name for backend in read_config(str(tmp_path / "s")).backends]
    assert not {home.name, other} & set(left)


async def test_one_site_moves_shards_at_a_time(tmp_path: Path) -> None:
    weights(tmp_path / "a", 1_500_000, "a")
    async with two_sites(tmp_path, "a") as (here, there):
        nowhere = replace(there.access, wait=False)
        await there.remove(parse_address("acme/a"))  # as who writes it is known
        async with here.access.moving("a test"):
            with pytest.raises(LockedError, match="the moving lease is held by the site"):
                async with nowhere.moving("a test"):
                    raise AssertionError("two at once")
        async with nowhere.moving("a test") as journal:
            # What was moved here meanwhile is known by now.
            assert journal.writer


async def test_an_index_is_not_made_anew_while_another_site_deletes(tmp_path: Path) -> None:
    weights(tmp_path / "a", 300_000, "a")
    async with two_sites(tmp_path, "a") as (here, _):
        async with here.access.sharing.leased():
            with pytest.raises(LockedError, match="the store lease is held by the site"):
                await rebuild_store(str(tmp_path / "other"), wait=False)
        report = await rebuild_store(str(tmp_path / "other"), wait=False)
        assert report.packs > 0


async def test_a_site_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    weights(tmp_path / "b", 300_000, "b")
    async with two_sites(tmp_path) as (here, there):
        await add(there, tmp_path / "b", "acme/b")
        gone = site_key(own_site(str(tmp_path / "other/locks")))
        old = time.time() - UNUSED - 60
        for name in ("d0", "d1"):
            os.utime(tmp_path / "s/backends" / name / gone, (old, old))
        await here.gc()
        left = [path.parts[-3] for path in (tmp_path / "s/backends").glob(f"*/{gone}")]
        assert left == ["d2"]
        await add(there, tmp_path / "b", "acme/again")
        assert len(list((tmp_path / "s/backends").glob(f"*/{gone}"))) == 3


async def clone(tmp_path: Path) -> Path:
    """A second site's folder as an image of its disk, or of its container, brings it to another
    machine: nothing in it tells that it is not the first."""
    other = await another_site(tmp_path / "s", tmp_path / "other")
    async with open_store(str(other)) as store:
        await store.access.sharing.site()
    shutil.copytree(other, tmp_path / "clone")
    locks = tmp_path / "clone/locks"
    site = own_site(str(other / "locks"))
    (locks / FILE).write_text(f"{site.hex()} {locks.stat().st_ino}\n")
    assert own_site(str(locks)) == site
    return tmp_path / "clone"


async def test_clones_of_a_folder_have_one_lease_at_a_time(tmp_path: Path) -> None:
    """What a crash of one's own left is taken at once, so it has to be told from what another has
    that says to be the same."""
    async with fresh_store(tmp_path / "s", "2+1"):
        pass
    copy = await clone(tmp_path)
    async with (
        open_store(str(tmp_path / "other")) as store,
        open_store(str(copy), wait=False) as twin,
    ):
        async with store.access.sharing.leased():
            with pytest.raises(LockedError, match="the store lease is held by the site"):
                async with twin.access.sharing.leased():
                    raise AssertionError("two at once")
        home = home_of(store.members)
        assert home is not None
        leases = await store.access.sharing._leases(home, sharing.STORE)
        await leases._acquire(wait=False)  # and then it crashes
        async with (
            open_store(str(tmp_path / "other"), wait=False) as again,
            again.access.sharing.leased(),
        ):
            pass


async def test_what_a_clone_of_a_folder_is_storing_is_not_garbage(tmp_path: Path) -> None:
    """Its writer has no slot here, so it is none that the lock file of the store stands for."""
    weights(tmp_path / "a", 1_500_000, "a")
    async with fresh_store(tmp_path / "s", "2+1"):
        pass
    copy = await clone(tmp_path)
    async with (
        open_store(str(tmp_path / "other"), wait=False) as store,
        open_store(str(copy)) as twin,
    ):
        await add(store, tmp_path / "a", "acme/a")
        await store.remove(parse_address("acme/a"))
        async with twin.access.in_session("a test"):
            told = sessions(tmp_path)
            with pytest.raises(LockedError, match="writes to the store"):
                await store.gc(grace=0)
            assert sessions(tmp_path) == told
        assert (await store.gc(grace=0)).deleted


async def test_clones_of_a_folder_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    """Both take the slot of one writer: whose record comes second goes on as another."""
    files = {name: weights(tmp_path / name, 300_000, name) for name in "abcdef"}
    async with fresh_store(tmp_path / "s", "2+1") as first:
        await add(first, tmp_path / "a", "acme/first")
    copy = await clone(tmp_path)
    async with open_store(str(tmp_path / "other")) as store, open_store(str(copy)) as twin:
        async with trio.open_nursery() as nursery:
            for number, name in enumerate(files):
                nursery.start_soon(add, (store, twin)[number % 2], tmp_path / name, "acme/m")
        for each in (store, twin):
            async with each.access.writing("a test") as journal:
                await journal.take_over()
            assert len(list(each.index.refs())) == 2
            for name, data in files.items():
                assert await read(each, f"acme/m/{name}") == data
        assert (await twin.verify()).exit_status == 0


def test_a_copied_folder_is_another_site(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    first = own_site(str(tmp_path / "locks"))
    assert own_site(str(tmp_path / "locks")) == first
    shutil.copytree(tmp_path / "locks", tmp_path / "copy")
    assert own_site(str(tmp_path / "copy")) != first


async def test_a_name_is_given_to_what_another_site_has_just_added(tmp_path: Path) -> None:
    """`main` means what it means everywhere, not what was known here some seconds ago."""
    for name in "ab":
        weights(tmp_path / name, 300_000, name)
    repo = parse_address("acme/a").repo
    async with two_sites(tmp_path, "a") as (here, there):
        commit = (await add(there, tmp_path / "b", "acme/a")).commit
        (tagged,) = await here.tag(repo, "v1")
        assert tagged.new == commit
        commit = (await add(there, tmp_path / "a", "acme/a/again")).commit
        (branched,) = await here.branch(repo, "next")
        assert branched.new == commit
