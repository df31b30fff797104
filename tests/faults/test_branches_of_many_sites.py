"""A branch to which several sites commit in turn has one head, whenever one looks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cas.formats.news import News
from modelfloat.cas.index.index import Index
from modelfloat.cas.journal import follower
from modelfloat.cas.journal.stamp import STAMP
from modelfloat.cas.lease.sites import own_site
from modelfloat.cas.packs.members import Members
from modelfloat.cas.store import Store
from modelfloat.ids import SiteId
from modelfloat.opening import open_store
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, weights

AGES = 1e6
"""Seconds: nobody follows within these tests but who is told to."""
TURNS = 3


@pytest.fixture
async def sites(tmp_path: Path) -> list[Path]:
    """Three sites, the second and third of which commit in turn: all on `acme/model@main`."""
    weights(tmp_path / "first", 100_000, "first")
    async with fresh_store(tmp_path / "s", "2+1") as store:
        await add(store, tmp_path / "first")
    first = await another_site(tmp_path / "s", tmp_path / "one")
    second = await another_site(tmp_path / "s", tmp_path / "two")
    async with open_store(str(first)) as one, open_store(str(second)) as two:
        for turn in range(TURNS):
            for name, store in (("one", one), ("two", two)):
                weights(tmp_path / f"{name}{turn}", 100_000, f"{name}{turn}")
                await add(store, tmp_path / f"{name}{turn}")
    return [tmp_path / "s", first, second]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many heads the branch had after each record that was applied."""
    counts: list[int] = []
    real: Callable[..., Any] = Index.apply

    def apply(self: Index, *arguments: Any) -> Any:
        done = real(self, *arguments)
        counts.append(len(self.refs()))
        return done

    monkeypatch.setattr(Index, "apply", apply)
    return counts


async def follow(store: Store) -> None:
    (Path(store.path) / "locks" / STAMP).unlink(missing_ok=True)
    await store.access.follower.catch_once(AGES)


async def everything_is_there(store: Store, tmp_path: Path) -> None:
    """The last commit is seen, with the files of all before it."""
    assert len(store.index.refs()) == 1
    for name in ("first", *(f"{site}{turn}" for site in ("one", "two") for turn in range(TURNS))):
        assert await read(store, f"acme/model/{name}") == (tmp_path / name).read_bytes()


async def test_who_follows_sees_one_head_at_any_time(
    tmp_path: Path, sites: list[Path], seen: list[int]
) -> None:
    async with open_store(str(sites[0]), refresh=AGES) as store:
        await follow(store)
        await everything_is_there(store, tmp_path)
    assert len(seen) >= 2 * TURNS
    assert max(seen) == 1


async def test_who_takes_over_sees_one_head_at_any_time(
    tmp_path: Path, sites: list[Path], seen: list[int]
) -> None:
    async with open_store(str(sites[0]), refresh=AGES) as store:
        async with store.access.writing("taking over", told=False) as journal:
            await journal.take_over()
        await everything_is_there(store, tmp_path)
    assert len(seen) >= 2 * TURNS
    assert max(seen) == 1


async def test_what_was_recorded_after_the_news_is_asked_for(
    tmp_path: Path, sites: list[Path], seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A site tells news when its work is done: what others built on it may be told before."""
    real, late = follower.read_news, own_site(str(sites[1] / "locks"))

    async def read_news(members: Members, site: SiteId, copies: int, turn: int) -> News | None:
        news = await real(members, site, copies, turn)
        if news is None or site != late:
            return news
        return News(news.store, site, {writer: last - 1 for writer, last in news.last.items()})

    monkeypatch.setattr(follower, "read_news", read_news)

    async def nothing(*_: object) -> None:
        pytest.fail("the journals were listed")

    monkeypatch.setattr(follower, "take_over", nothing)
    async with open_store(str(sites[0]), refresh=AGES) as store:
        await follow(store)
        assert max(seen) == 1
        await everything_is_there(store, tmp_path)
