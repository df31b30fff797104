"""Checks and drains beside somebody who moves or deletes what they have looked at already."""

from pathlib import Path

import pytest

from modelfloat.cas.index.records import PackRecord, ShardState
from modelfloat.cas.progress import Progress
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.cas.verify.check import Checker
from modelfloat.cas.verify.moving import AHEAD, Goal, Moving
from modelfloat.cas.verify.report import VerifyReport
from modelfloat.cas.verify.throttle import Throttle
from modelfloat.config import read_config
from modelfloat.creating import BackendSpec
from modelfloat.draining import MoveRequest, drain_backend
from modelfloat.errors import BusyError, UnavailableError
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher
from modelfloat.tests.support.metered import metered
from modelfloat.tests.support.stores import add, fresh_store, shard_files, weights


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store of 2+1 on four directories, with a model, closed."""
    weights(tmp_path / "model.safetensors", 3_000_000)
    specs = tuple(BackendSpec(f"d{i}", str(tmp_path / f"store/backends/d{i}")) for i in range(4))
    async with fresh_store(tmp_path / "store", "2+1", specs) as store:
        await add(store, tmp_path / "model.safetensors")
    return tmp_path / "store"


async def checked(store: Store, packs: list[PackRecord]) -> tuple[VerifyReport, Checker]:
    """What a check says that got these records before something happened to their packs."""
    report = VerifyReport()
    checker = Checker(store.index, store.pool, report, Progress(), Throttle(None), None)
    for pack in packs:
        await checker.check(pack)
    await checker.checkbook.write()
    return report, checker


async def move_off(store: Store, *names: str) -> None:
    """Move the shards on some backends to the others, however crowded these are then."""
    for member in list(store.members):
        if member.name in names:
            async with store.access.moving("a test") as journal:
                moving = Moving(store.index, store.pool, store.scheme)
                await moving.run(Goal(member.id, force=True), journal, Progress())


async def test_shards_that_are_moved_during_a_check_are_not_missing(path: Path) -> None:
    async with open_store(str(path)) as store:
        before = list(store.index.packs())
        await move_off(store, "d0", "d1", "d2")
        now = list(store.index.packs())
        report, checker = await checked(store, before)
        assert (report.problems, checker.verdicts.lost) == ([], {})
        assert [pack.backends for pack in store.index.packs()] == [pack.backends for pack in now]
        assert all(s is ShardState.GOOD for pack in store.index.packs() for s in pack.states)


async def test_what_was_found_of_a_shard_is_not_noted_of_the_place_it_has_moved_to(
    path: Path,
) -> None:
    async with open_store(str(path)) as store:
        before = next(pack for pack in store.index.packs() if pack.k > 1)
        checker = (await checked(store, []))[1]
        await move_off(store, store.members.name_of(before.backends[0]))
        await checker.checkbook.note(before, [ShardState.MISSING] * before.n)
        now = store.index.pack(before.number)
        assert now is not None
        assert now.states == (ShardState.GOOD, ShardState.MISSING, ShardState.MISSING)


async def test_packs_that_are_deleted_during_a_check_are_not_lost(path: Path) -> None:
    async with open_store(str(path)) as store:
        before = list(store.index.packs())
        await store.remove(parse_address("acme/model"))
        await store.gc(grace=0)
        assert shard_files(path) == []
        report, checker = await checked(store, before)
        assert (report.problems, checker.verdicts.lost) == ([], {})


async def test_of_two_drains_at_once_the_second_sees_what_the_first_left(path: Path) -> None:
    """Three places are enough for 2+1, two are not."""
    with Crasher(path.parent) as crasher:

        def other(_plan: object) -> None:
            assert crasher.run("--store", path, "backend", "drain", "d1").status == 0

        with pytest.raises(BusyError, match="d0"):
            await drain_backend(str(path), "d0", MoveRequest(announce=other))
    states = {backend.name: backend.state for backend in read_config(str(path)).backends}
    assert states == {"d0": None, "d1": "draining", "d2": None, "d3": None}


async def test_a_drain_ends_when_nothing_can_be_recorded_any_more(path: Path) -> None:
    """After one failure a journal takes nothing: whatever else is copied would be in vain."""
    async with open_store(str(path)) as store:
        for number in range(8):
            weights(path.parent / f"{number}", 2_000_000, f"{number}")
            await add(store, path.parent / f"{number}", f"acme/m{number}")
        leaving = max(store.members, key=lambda m: len(shard_files(path, m.name)))
        before = list(store.index.packs())
        moving = Moving(store.index, store.pool, store.scheme)
        traffic = metered(store)
        async with store.access.moving("a test") as journal:
            journal._failure = UnavailableError("nothing can be recorded")
            with pytest.raises(UnavailableError, match="nothing can be recorded"):
                await moving.run(Goal(leaving.id), journal, Progress())
        packs = [folder for folder in traffic.written if folder.startswith("packs/")]
        assert len(packs) <= AHEAD < len(shard_files(path, leaving.name))
        assert list(store.index.packs()) == before
        assert not any(member.health.failures for member in store.members)
