"""Shards moved and mended while other things happen: backends that come back, fill up, or lie,
a journal that takes nothing more."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from modelfloat.backendchanges import add_backend, change_backend
from modelfloat.backends.base import Backend, Buffer
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.packs.members import Member
from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.verify.moving import Goal, Moving
from modelfloat.config import read_config
from modelfloat.creating import BackendSpec
from modelfloat.draining import MoveRequest, mark, rebalance
from modelfloat.errors import BackendError, one_failure
from modelfloat.ids import Key
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, read, weights

NAMES = ("b0", "b1", "b2", "b3")


def specs(folder: Path) -> tuple[BackendSpec, ...]:
    return tuple(BackendSpec(name, str(folder / name)) for name in NAMES)


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 2+1 on four directories outside of it, with a model, closed."""
    data = weights(tmp_path / "model.safetensors", 3_000_000)
    async with fresh_store(tmp_path / "store", "2+1", specs(tmp_path)) as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store", data


def shards_on(path: Path, name: str) -> list[Path]:
    return sorted((path.parent / name / "packs").glob("*/*/*"))


def of(store: Store, name: str) -> Member:
    return next(member for member in store.members if member.name == name)


class Meddled:
    """A backend on whose first answer something happens elsewhere; `when` says which answers."""

    def __init__(
        self, inner: Backend, once: list[Callable[[], object]], when: Callable[[str, Key], bool]
    ) -> None:
        self._inner = inner
        self._once = once
        self._when = when

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def head(self, key: Key) -> int:
        size = await self._inner.head(key)
        self._happen("head", key)
        return size

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        data = await self._inner.get(key, offset, size, most)
        self._happen("get whole" if size is None else "get", key)
        return data

    def _happen(self, what: str, key: Key) -> None:
        if self._once and self._when(what, key):
            self._once.pop()()


def meddle(store: Store, what: Callable[[], object], when: Callable[[str, Key], bool]) -> None:
    """Do `what` once, when a backend has given such an answer."""
    once = [what]
    for member in store.members:
        member.backend = Meddled(member.backend, once, when)  # type: ignore[assignment]


async def test_a_shard_that_was_not_read_is_not_moved(tmp_path: Path) -> None:
    """A backend comes back while a pack is mended that lies too close together without it."""
    data = weights(tmp_path / "model.safetensors", 3_000_000)
    path = tmp_path / "store"
    async with fresh_store(path, "2+2", specs(tmp_path)):
        pass
    (tmp_path / "b3").rename(tmp_path / "away")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "model.safetensors")
        back = of(store, "b3")

        def come_back() -> None:
            (tmp_path / "away").rename(tmp_path / "b3")
            back.down = ""

        for pack in store.index.packs():
            name = store.members.name_of(pack.backends[1])
            (tmp_path / name / store.pool.key(pack, 1)).unlink()
        # By then it is known which shards are read.
        meddle(store, come_back, lambda what, key: what == "get whole" and key.endswith("-2-2"))
        await store.verify(repair=True)
        for pack in store.index.packs():
            shards = [p for name in NAMES for p in shards_on(path, name) if pack.id.hex() in str(p)]
            assert min(p.stat().st_size for p in shards) > pack.shard
    async with open_store(str(path)) as store:
        await store.verify(repair=True)
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
        assert await read(store, "acme/model/model.safetensors") == data


@pytest.mark.parametrize("how", ["at its capacity", "read-only"])
async def test_what_gets_nothing_more_keeps_what_it_has(
    stored: tuple[Path, bytes], how: str
) -> None:
    path, _ = stored
    name = max(NAMES, key=lambda each: len(shards_on(path, each)))
    before = shards_on(path, name)
    if how == "read-only":
        backend = next(b for b in read_config(str(path)).backends if b.name == name)
        await mark(str(path), backend, "read-only")
    else:
        await change_backend(str(path), name, {"capacity": 1})
    moved = await rebalance(str(path), MoveRequest())
    assert (moved.plan.shards, moved.report.shards) == (0, 0)
    assert shards_on(path, name) == before
    await add_backend(str(path), "b4", str(path.parent / "b4"))
    moved = await rebalance(str(path), MoveRequest())
    assert {move.target for move in moved.plan.moves} <= {"b4"}


async def test_a_drain_ends_when_its_journal_takes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "store"
    async with fresh_store(path, "2+1", specs(tmp_path)) as store:
        for number in range(8):
            weights(tmp_path / f"w{number}", 1_500_000, f"w{number}")
            await add(store, tmp_path / f"w{number}", f"acme/w{number}")
        leaving = max(store.members, key=lambda each: len(shards_on(path, each.name)))
        before = shards_on(path, leaving.name)
        others = [name for name in NAMES if name != leaving.name]
        count = sum(len(shards_on(path, name)) for name in others)
        for member in store.members:
            member.backend = faulty = FaultyBackend(member.backend)
            faulty.inject("full", on=["put"], prefix="journal/")
        moving = Moving(store.index, store.pool, store.scheme)
        with pytest.raises(BackendError), one_failure():
            async with store.access.moving("a test") as journal:
                await moving.run(Goal(leaving.id), journal, Progress())
        assert shards_on(path, leaving.name) == before
        assert sum(len(shards_on(path, name)) for name in others) <= count + len(before) // 2


class Liar:
    """A backend that takes shards, and has none of them."""

    def __init__(self, inner: Backend) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        if not key.startswith("packs/"):
            await self._inner.put(key, parts, if_absent=if_absent)


async def test_what_is_not_there_once_it_was_put_is_not_deleted_where_it_was(
    tmp_path: Path,
) -> None:
    data = weights(tmp_path / "model.safetensors", 3_000_000)
    path = tmp_path / "store"
    async with fresh_store(path, "2+0", specs(tmp_path)) as store:
        await add(store, tmp_path / "model.safetensors")
        leaving = max(store.members, key=lambda each: len(shards_on(path, each.name)))
        before = shards_on(path, leaving.name)
        for member in store.members:
            member.backend = Liar(member.backend)  # type: ignore[assignment]
        moving = Moving(store.index, store.pool, store.scheme)
        async with store.access.moving("a test") as journal:
            report = await moving.run(Goal(leaving.id), journal, Progress())
        assert (report.shards, report.stayed) == (0, len(before))
    assert shards_on(path, leaving.name) == before
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data


async def test_what_is_left_of_a_pack_that_never_was_whole_is_stored_again(
    tmp_path: Path,
) -> None:
    """A shard that was never stored does not come back by itself."""
    weights(tmp_path / "model.safetensors", 3_000_000)
    path = tmp_path / "store"
    async with fresh_store(path, "2+1", specs(tmp_path)[:3]):
        pass
    (tmp_path / "b2").rename(tmp_path / "away")
    async with open_store(str(path)) as store:
        sources, address = [str(tmp_path / "model.safetensors")], parse_address("acme/model")
        await store.carry_out(AddRequest(sources, address, min_shards=2))
    (tmp_path / "away").rename(tmp_path / "b2")
    async with open_store(str(path)) as store:
        pack = next(pack for pack in store.index.packs() if pack.k > 1)
        victim = pack.backends[1] if any(pack.backends[1]) else pack.backends[2]
        index = pack.backends.index(victim)
        (tmp_path / store.members.name_of(victim) / store.pool.key(pack, index)).unlink()
        report = await store.verify(repair=True)
        assert report.lost == [pack.id.hex()]
        assert report.rescued > 0


async def test_an_old_copy_stays_where_the_one_that_was_made_for_it_is_lost(
    stored: tuple[Path, bytes],
) -> None:
    """A backend comes back with a shard that was made again elsewhere, and is gone there now."""
    path, data = stored
    async with open_store(str(path)) as store:
        pack = next(pack for pack in store.index.packs() if pack.k > 1)
        name, key = store.members.name_of(pack.backends[0]), store.pool.key(pack, 0)
    (path.parent / name).rename(path.parent / "away")
    async with open_store(str(path)) as store:
        await store.verify(repair=True)
        now = store.index.pack_of_id(pack.id)
        assert now is not None
        made = store.members.name_of(now.backends[0])
    (path.parent / "away").rename(path.parent / name)
    assert made != name
    (path.parent / made / key).unlink()
    async with open_store(str(path)) as store:
        await store.gc(grace=0)
        assert await trio.Path(path.parent / name / key).exists()
        await store.verify(repair=True)
        await store.gc(grace=0)
        assert not await trio.Path(path.parent / name / key).exists()
        assert await read(store, "acme/model/model.safetensors") == data
        assert (await store.verify()).exit_status == 0
