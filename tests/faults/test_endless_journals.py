"""A backend that tells of journal records without end costs a bounded time, and is named."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from modelfloat import retiring
from modelfloat.backendchanges import add_backend
from modelfloat.backends.base import Listed
from modelfloat.backends.keys import condemned_key, session_key
from modelfloat.backends.local import LocalBackend
from modelfloat.cas import access
from modelfloat.cas.formats.presence import Presence, PresenceRecord, encode_presence
from modelfloat.cas.gc import others
from modelfloat.cas.journal import copies, pace
from modelfloat.cas.journal.follower import Follower
from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cas.lease import home
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.config import read_config
from modelfloat.draining import MoveRequest
from modelfloat.errors import UnavailableError
from modelfloat.ids import PackId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.retiring import remove_backend
from modelfloat.tests.support.encrypted import fresh_encrypted
from modelfloat.tests.support.endless import make_endless
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

AGES = 1e9
LONG = 120.0
"""Seconds: what ends takes a few; what does not, for ever."""


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take few records over at once."""
    monkeypatch.setattr(access, "ROUND", 20)
    monkeypatch.setattr(pace, "COMMAND", 30)


async def made(path: Path) -> Path:
    """A store of three backends with a file in it; `b` is another file."""
    weights(path / "a", 300_000, "a")
    weights(path / "b", 300_000, "b")
    async with fresh_store(path / "s", "2+1") as store:
        await add(store, path / "a", "acme/m")
    return path / "s"


async def follow(store: Store, follower: Follower) -> None:
    """One round, which has d0 list the sites."""
    (Path(store.path) / "locks" / STAMP).unlink(missing_ok=True)
    follower._turn = -1
    await follower.catch_once(AGES)


async def test_who_follows_sees_the_others_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = await made(tmp_path)
    other = await another_site(here, tmp_path / "other")
    async with open_store(str(here)) as store:
        endless = make_endless(store)
        follower = store.access.follower
        with trio.fail_after(LONG):
            await follow(store, follower)
            assert endless.asked == 21
            async with open_store(str(other)) as there:
                await add(there, tmp_path / "b", "acme/m")
            await follow(store, follower)
        assert await read(store, "acme/m/b") == (tmp_path / "b").read_bytes()
        assert store.index.writer(endless.writer)[0] == 40  # it goes on where it was
    assert "backend d0 has more than 20 journal records that no other backend has" in caplog.text
    assert caplog.text.count("has more than") == 1


async def test_who_writes_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = await made(tmp_path)
    await another_site(here, tmp_path / "other")
    async with open_store(str(here)) as store:
        endless = make_endless(store)
        with trio.fail_after(LONG):
            await add(store, tmp_path / "b", "acme/m")
        assert endless.asked < 100
        assert await read(store, "acme/m/b") == (tmp_path / "b").read_bytes()
    assert "backend d0 has more than 30 journal records that no other backend has" in caplog.text


async def test_no_backend_goes_before_all_is_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not taken over yet may say that shards lie there, unless the user knows better."""
    here = await made(tmp_path)
    await add_backend(str(here), "d3", str(tmp_path / "d3"))
    await another_site(here, tmp_path / "other")

    @asynccontextmanager
    async def opened(path: str, *, wait: bool = True) -> AsyncIterator[Store]:
        async with open_store(path, wait=wait) as store:
            make_endless(store)
            yield store

    monkeypatch.setattr(retiring, "open_store", opened)
    with trio.fail_after(LONG), pytest.raises(UnavailableError, match="who writes to d0"):
        await remove_backend(str(here), "d2")
    assert "d2" in [backend.name for backend in read_config(str(here)).backends]
    await remove_backend(str(here), "d2", MoveRequest(force=True))
    assert "d2" not in [backend.name for backend in read_config(str(here)).backends]


async def test_gc_deletes_nothing_and_says_who_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    here = await made(tmp_path)
    async with open_store(str(here)) as store:
        await store.remove(parse_address("acme/m"))
        shards = shard_files(here)
        make_endless(store)
        with (
            trio.fail_after(LONG),
            pytest.raises(UnavailableError, match="who writes to d0"),
        ):
            await store.gc(grace=0)
    assert shard_files(here) == shards
    async with open_store(str(here)) as store:
        assert (await store.gc(grace=0)).deleted


async def test_of_an_encrypted_store_gc_goes_on(tmp_path: Path) -> None:
    """Nobody without its key can have told of anything that is needed."""
    weights(tmp_path / "a", 300_000, "a")
    async with fresh_encrypted(tmp_path / "s") as store:
        await add(store, tmp_path / "a", "acme/m")
        await store.remove(parse_address("acme/m"))
        endless = make_endless(store)
        endless.last = 60
        with trio.fail_after(LONG):
            assert (await store.gc(grace=0)).deleted


async def test_a_session_without_end_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose records are asked for one by one, since what they store is no garbage."""
    monkeypatch.setattr(others, "MOST_RECORDS", 40)
    here = await made(tmp_path)
    async with open_store(str(here)) as store:
        endless = make_endless(store, listed=0)
        writer = endless.writer
        record = PresenceRecord(Presence.SESSION, store.id, endless.site, bytes(writer), 0, 300)
        await endless.put(session_key(writer), [encode_presence(record)])
        await store.remove(parse_address("acme/m"))
        with trio.fail_after(LONG), pytest.raises(UnavailableError, match="has more than 40 jour"):
            await store.gc(grace=7200)
        assert endless.asked == 40


async def test_what_is_condemned_without_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others tell of what is condemned as well, so who writes goes on without that backend."""
    monkeypatch.setattr(home, "MOST_CONDEMNED", 50)
    here = await made(tmp_path)
    await another_site(here, tmp_path / "other")
    async with open_store(str(here)) as store:
        (member,) = (member for member in store.members if member.name == "d2")
        for number in range(60):
            await member.backend.put(condemned_key(PackId(bytes([number]) * 16)), [b"made up"])
        await add(store, tmp_path / "b", "acme/m")
        assert await read(store, "acme/m/b") == (tmp_path / "b").read_bytes()
    assert "backend d2 names more than 50 keys below condemned/" in caplog.text


async def test_where_none_tells_what_is_condemned_no_ref_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be what a commit relies on."""
    monkeypatch.setattr(home, "MOST_CONDEMNED", 50)
    here = await made(tmp_path)
    await another_site(here, tmp_path / "other")
    async with open_store(str(here)) as store:
        before = store.refs.resolve(parse_address("acme/m").repo)
        for member in store.members:
            for number in range(60):
                await member.backend.put(condemned_key(PackId(bytes([number]) * 16)), [b"made up"])
        with pytest.raises(UnavailableError, match="more than 50 keys below condemned/"):
            await add(store, tmp_path / "b", "acme/m")
        assert store.refs.resolve(parse_address("acme/m").repo) == before


async def test_where_all_tell_without_end_a_command_says_so(tmp_path: Path) -> None:
    here = await made(tmp_path)
    await another_site(here, tmp_path / "other")
    async with open_store(str(here)) as store:
        endless = make_endless(store)
        for member in store.members:
            if member.name != "d0":
                same = make_endless(store, member.name)
                same.site, same.writer = endless.site, endless.writer
        with trio.fail_after(LONG), pytest.raises(UnavailableError, match="more journal records"):
            await add(store, tmp_path / "b", "acme/m")
        assert store.index.writer(endless.writer)[0] == 300


async def test_a_listing_without_end_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who rebuilds, or joins, goes on without that backend; who writes is told which it is."""
    here = await made(tmp_path)
    monkeypatch.setattr(copies, "MOST_LISTED", 500)
    async with open_store(str(here)) as store:
        endless = make_endless(store, listed=1 << 40)
        with trio.fail_after(LONG), pytest.raises(UnavailableError, match="backend d0 names more"):
            await store.gc(grace=0)
    honest = LocalBackend.list

    async def listing(self: LocalBackend, prefix: str = "") -> AsyncGenerator[Listed, None]:
        async for listed in honest(self, prefix):
            yield listed
        for key in endless.keys(prefix) if self.name == "d0" else ():
            yield Listed(key, 128)

    monkeypatch.setattr(LocalBackend, "list", listing)
    with trio.fail_after(LONG):
        await rebuild_store(str(here))
    assert "backend d0 names more than 500 journal records" in caplog.text
