"""What one site records, another sees without being told and without listing any journal."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trio
import trio.testing

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import site_key
from modelfloat.cas.formats.news import MOST_WRITERS, News, decode_news, encode_news
from modelfloat.cas.journal import follower
from modelfloat.cas.journal.follower import Follower
from modelfloat.cas.journal.slots import note_given_up
from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cas.journal.turns import FEW, MOST
from modelfloat.cas.lease import sites
from modelfloat.cas.lease.sites import own_site
from modelfloat.cas.locks import locked
from modelfloat.cas.packs.members import Members
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cli.backend import home_line
from modelfloat.cli.main import run
from modelfloat.errors import NotFoundError
from modelfloat.ids import SiteId, StoreId, WriterId, random_site_id
from modelfloat.opening import open_store
from modelfloat.tests.support.encrypted import ALICE, make_encrypted
from modelfloat.tests.support.listings import noted_listings
from modelfloat.tests.support.sites import another_site, join, without_conditional_puts
from modelfloat.tests.support.stores import add, fresh_store, read, weights

AGES = 1e6
"""Seconds: nobody follows within this test but who is told to."""


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of all listings that are asked for from now on."""
    return noted_listings(monkeypatch)


async def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two sites of one store, and files `a` and `b`."""
    weights(tmp_path / "a", 300_000, "a")
    weights(tmp_path / "b", 300_000, "b")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/m")
    return tmp_path / "s", await another_site(tmp_path / "s", tmp_path / "other")


def forget(site: Path) -> None:
    """Let nobody have followed lately."""
    (site / "locks" / STAMP).unlink(missing_ok=True)


async def follow(store: Store) -> None:
    forget(Path(store.path))
    await store.access.follower.catch_once(AGES)


def names(store: Store) -> set[str]:
    return {f"{head.repo}@{head.ref}" for head in store.index.refs()}


async def test_a_new_commit_is_seen_without_listing_a_journal(
    tmp_path: Path, listed: list[str]
) -> None:
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        assert names(watching) == {"acme/m@main"}
        listed.clear()
        await follow(watching)
        assert names(watching) == {"acme/m@main", "acme/n@main"}
        assert listed == ["sites/"]
        assert await read(watching, "acme/n/b") == (tmp_path / "b").read_bytes()
        await writing.remove(parse_address("acme/n"))
        await follow(watching)
        assert names(watching) == {"acme/m@main"}


async def test_a_process_that_stays_open_follows(tmp_path: Path) -> None:
    """A site that comes later is seen too, and so is its first commit."""
    weights(tmp_path / "a", 300_000, "a")
    async with fresh_store(tmp_path / "s", "2+1"):
        pass
    async with open_store(str(tmp_path / "s"), refresh=0.2) as watching:
        other = await another_site(tmp_path / "s", tmp_path / "other")
        async with open_store(str(other)) as writing:
            await add(writing, tmp_path / "a", "acme/m")
            while not names(watching):
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert await read(watching, "acme/m/a") == (tmp_path / "a").read_bytes()


async def test_a_command_follows_first_unless_somebody_has(
    tmp_path: Path, listed: list[str]
) -> None:
    here, there = await two(tmp_path)
    async with open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
    forget(here)
    async with open_store(str(here), refresh=AGES) as store:
        assert "acme/n@main" in names(store)
    listed.clear()
    async with open_store(str(here), refresh=AGES):
        assert listed == []


async def test_news_are_asked_for_where_they_are_newer(tmp_path: Path) -> None:
    """A backend that was away has old ones; and none has any of a site of an earlier release."""
    here, there = await two(tmp_path)
    site = own_site(str(there / "locks")).hex()
    copies = list((here / "backends").glob(f"*/news/{site}"))
    assert len(copies) == 2
    old = copies[0].read_bytes()
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        copies[0].write_bytes(old)
        following = watching.access.follower
        for _ in range(2):
            forget(here)
            await following.catch_once(AGES)
        assert "acme/n@main" in names(watching)
        for copy in copies:
            copy.unlink()
        await writing.remove(parse_address("acme/n"))
        for copy in copies:
            copy.unlink()
        await follow(watching)
        assert "acme/n@main" in names(watching)


async def test_what_news_do_not_tell_is_found_by_a_listing(
    tmp_path: Path, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        for copy in (here / "backends").glob("*/news/*"):
            copy.unlink()
        await follow(watching)
        assert "acme/n@main" not in names(watching)
        monkeypatch.setattr(follower, "FULL", 0.0)
        listed.clear()
        await follow(watching)
        assert "journal/" in listed
        assert "acme/n@main" in names(watching)


@pytest.mark.parametrize("damage", ["flip", "cut", "lie", "newer"])
async def test_news_are_looked_at_and_not_believed(tmp_path: Path, damage: str) -> None:
    """Whoever has a backend writes what he likes there: that can hide news, and no more."""
    here, there = await two(tmp_path)
    site = own_site(str(there / "locks"))
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        for copy in (here / "backends").glob(f"*/news/{site.hex()}"):
            data = copy.read_bytes()
            told = decode_news(data, "x").last
            forged = {
                "flip": data[:50] + bytes([data[50] ^ 1]) + data[51:],
                "cut": data[:-5],
                "lie": encode_news(News(watching.id, site, dict.fromkeys(told, 1 << 60))),
                "newer": data[:8] + b"\x09" + data[9:],
            }
            copy.write_bytes(forged[damage])
        await follow(watching)
        # What a lie says is not to be found, but what there is on the way is taken over.
        assert ("acme/n@main" in names(watching)) is (damage == "lie")
        assert await read(watching, "acme/m/a") == (tmp_path / "a").read_bytes()


async def test_a_lie_has_the_journals_listed_once(tmp_path: Path, listed: list[str]) -> None:
    """Not in every round: that would be a request for every record, each ten seconds, for ever."""
    here, there = await two(tmp_path)
    site = own_site(str(there / "locks"))
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        lie = News(watching.id, site, {WriterId(bytes(15) + b"\1"): 7})
        for copy in (here / "backends").glob(f"*/news/{site.hex()}"):
            copy.write_bytes(encode_news(lie))
        following = watching.access.follower
        for rounds in (1, 2):
            forget(here)
            await following.catch_once(AGES)
            assert "journal/" in listed if rounds == 1 else listed == ["sites/"]
            listed.clear()
        await add(writing, tmp_path / "b", "acme/n")
        forget(here)
        await following.catch_once(AGES)
        assert "acme/n@main" in names(watching)


async def test_who_is_alone_with_the_store_has_the_index_as_it_is(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        async with locked(watching.access.lock("store"), what="a test"):
            await follow(watching)
            assert "acme/n@main" not in names(watching)
        await follow(watching)
        assert "acme/n@main" in names(watching)


async def test_two_who_follow_at_once_take_over_each_record_once(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        for number in range(5):
            await add(writing, tmp_path / "b", f"acme/n{number}")
        forget(here)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(watching.access.follower.catch_once, AGES)
        assert len(names(watching)) == 6
        for writer in writing.index.writers():
            assert watching.index.writer(writer) == writing.index.writer(writer)
        assert (await watching.verify()).exit_status == 0


async def test_what_a_backend_does_not_answer_for_a_moment_is_no_damage(tmp_path: Path) -> None:
    """A record whose objects could not be read then was applied without them, for good."""
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        wrapped = [FaultyBackend(member.backend) for member in watching.members]
        for member, faulty in zip(watching.members, wrapped, strict=True):
            member.backend = faulty
            faulty.inject("unavailable", on=["get", "head"], prefix="packs/", times=2)
        await follow(watching)
        for faulty in wrapped:
            faulty.clear()
        for member in watching.members:
            member.down = ""
        await follow(watching)
        assert await read(watching, "acme/n/b") == (tmp_path / "b").read_bytes()
        assert (await watching.verify()).exit_status == 0


async def test_many_writers_of_a_site_are_told_the_last_first(tmp_path: Path) -> None:
    here, there = await two(tmp_path)
    gone = {WriterId(n.to_bytes(16)): 1 for n in range(1, MOST_WRITERS + 10)}
    note_given_up(str(there / "locks"), gone)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        await follow(watching)
        assert "acme/n@main" in names(watching)


async def test_encrypted_stores_are_followed_by_who_has_the_key(tmp_path: Path) -> None:
    weights(tmp_path / "a", 300_000, "a")
    await make_encrypted(tmp_path / "s")
    await join(tmp_path / "other", tmp_path / "s/backends/d0", secret=ALICE)
    async with open_store(str(tmp_path / "other"), secret=ALICE) as writing:
        await add(writing, tmp_path / "a", "acme/m")
    forget(tmp_path / "s")
    async with open_store(str(tmp_path / "s"), refresh=AGES) as without:
        assert names(without) == set()
    async with open_store(str(tmp_path / "s"), secret=ALICE, refresh=AGES) as store:
        assert await read(store, "acme/m/a") == (tmp_path / "a").read_bytes()


async def test_a_store_of_one_site_tells_nobody(tmp_path: Path, listed: list[str]) -> None:
    weights(tmp_path / "a", 300_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a")
        assert list((tmp_path / "s/backends").glob("*/news/*")) == []
        await follow(store)
    forget(tmp_path / "s")
    (tmp_path / "s/locks" / STAMP).touch()
    os.utime(tmp_path / "s/locks" / STAMP, (0, 0))
    listed.clear()
    async with open_store(str(tmp_path / "s"), refresh=10.0):
        assert listed == ["sites/"]


async def test_what_cannot_be_asked_keeps_no_command(tmp_path: Path) -> None:
    here, _ = await two(tmp_path)
    (here / "backends").rename(tmp_path / "away")
    forget(here)
    async with open_store(str(here), refresh=AGES) as store:
        assert names(store) == {"acme/m@main"}
        with pytest.raises(NotFoundError):
            store.find(parse_address("acme/m/none"))


async def test_backend_ls_says_who_decides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, _ = await two(tmp_path)
    store = ["--store", str(here)]
    assert await trio.to_thread.run_sync(run, [*store, "backend", "ls"]) == 0
    assert "\nref home: d0, which decides who goes first" in capsys.readouterr().out
    async with open_store(str(here)) as opened:
        without_conditional_puts(opened)
        found = await opened.backends()
    assert [backend.ref_home for backend in found] == [False] * 3
    assert "no ref home: " in home_line(found)


def test_news_of_no_writer() -> None:
    news = News(StoreId(bytes(16)), SiteId(bytes(16)), {})
    assert decode_news(encode_news(news), "x") == news


async def test_a_note_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    """As on a full disk."""
    here, there = await two(tmp_path)
    async with open_store(str(here)) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        forget(here)
        (here / "locks" / STAMP).mkdir()
        os.utime(here / "locks" / STAMP, (0, 0))
        await watching.access.follower.catch_once(AGES / 1e3)
        assert "acme/n@main" in names(watching)


def test_who_begins_at_once_is_one_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SiteId] = []
    both = threading.Event()

    def another() -> SiteId:
        made.append(random_site_id())
        if len(made) > 1:
            both.set()
        both.wait(0.2)
        return made[-1]

    monkeypatch.setattr(sites, "random_site_id", another)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(own_site, [str(tmp_path)] * 2)
    assert first == second == own_site(str(tmp_path))


async def test_alone_with_the_store_no_backend_need_decide(tmp_path: Path) -> None:
    """A mount that follows and commands are one site, since they have one folder."""
    weights(tmp_path / "a", 300_000, "a")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "a", "acme/m")
    async with open_store(str(tmp_path / "s"), refresh=0.1) as mounted:
        await follow(mounted)
        async with open_store(str(tmp_path / "s"), refresh=AGES) as store:
            without_conditional_puts(store)
            await store.remove(parse_address("acme/m"))
            assert (await store.gc(grace=0)).deleted
            found = list((tmp_path / "s/backends").glob("*/sites/*"))
            assert len({path.name for path in found}) == 1


async def test_what_others_recorded_since_is_no_damage(tmp_path: Path) -> None:
    here, other = await two(tmp_path)
    async with open_store(str(here), refresh=AGES) as store, open_store(str(other)) as there:
        await follow(store)
        for name in ("a", "b"):
            await add(there, tmp_path / name, f"acme/{name}")
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
        assert await read(store, "acme/b/b")


async def test_names_of_sites_that_nobody_is_cost_few_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend lists a thousand of them; what the other site does is seen all the same."""
    here, there = await two(tmp_path)
    for n in range(1000):
        for backend in sorted((here / "backends").iterdir()):
            (backend / site_key(SiteId(n.to_bytes(16, "big")))).touch()
    asked = count_news(monkeypatch)
    async with open_store(str(here), refresh=AGES) as watching, open_store(str(there)) as writing:
        await add(writing, tmp_path / "b", "acme/n")
        following, rounds = watching.access.follower, 0
        while names(watching) != {"acme/m@main", "acme/n@main"}:
            await again(following, asked)
            assert len(asked) <= MOST
            rounds += 1
        assert rounds <= 1 + 1001 // MOST
        await writing.remove(parse_address("acme/n"))
        await again(following, asked)
        assert names(watching) == {"acme/m@main"}
        assert len(asked) == FEW + 1


async def again(following: Follower, asked: list[SiteId]) -> None:
    """One more round of a process that stays open."""
    asked.clear()
    forget(Path(following.catch_up.folder).parent)
    await following.catch_once(AGES)


async def test_a_listing_of_sites_without_end_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "MOST", 50)
    here, _ = await two(tmp_path)
    for n in range(200):
        (here / "backends/d0" / site_key(SiteId(n.to_bytes(16, "big")))).touch()
    async with open_store(str(here), refresh=AGES) as store:
        assert len(await sites.known_sites(store.members)) <= 52


def count_news(monkeypatch: pytest.MonkeyPatch) -> list[SiteId]:
    """The sites whose news are asked for from now on."""
    asked: list[SiteId] = []
    real = follower.read_news

    async def noted(members: Members, site: SiteId, copies: int, turn: int) -> News | None:
        asked.append(site)
        return await real(members, site, copies, turn)

    monkeypatch.setattr(follower, "read_news", noted)
    return asked
