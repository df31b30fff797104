"""Damage that reads find is mended behind them, where the reader may write; else it is noted."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.cas.index.records import ShardState
from modelfloat.cas.locks import locked
from modelfloat.cas.read.options import ReadOptions
from modelfloat.cas.verify.readrepair import CALM, QUEUED, ReadRepair
from modelfloat.cas.verify.report import Problem, VerifyReport
from modelfloat.errors import LockedError
from modelfloat.ids import PackNumber
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, data_shards, flip_bit, fresh_store, read, weights


def mended(count: int) -> VerifyReport:
    report = VerifyReport()
    for index in range(count):
        report.note(Problem("aa", index, "d0", "missing", repaired=True))
    return report


def packs(*numbers: int) -> list[PackNumber]:
    return [PackNumber(number) for number in numbers]


async def test_packs_are_mended_together_once_reads_are_calm(autojump_clock: MockClock) -> None:
    seen: list[tuple[float, list[int]]] = []
    began = trio.current_time()

    async def mend(numbers: Sequence[PackNumber]) -> VerifyReport:
        seen.append((trio.current_time() - began, list(numbers)))
        return mended(0)

    repair = ReadRepair(mend)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repair.run)
        repair.note(packs(4))
        await trio.sleep(CALM / 2)
        repair.note(packs(4, 7))
        await trio.sleep(3 * CALM)
        repair.note(packs(7, 9))
        await trio.sleep(3 * CALM)
        nursery.cancel_scope.cancel()
    assert seen == [(2 * CALM, [4, 7]), (4.5 * CALM, [9])]


async def test_the_queue_is_bounded(autojump_clock: MockClock) -> None:
    seen: list[int] = []

    async def mend(numbers: Sequence[PackNumber]) -> VerifyReport:
        seen.extend(numbers)
        return mended(0)

    repair = ReadRepair(mend)
    repair.note(packs(*range(QUEUED + 50)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repair.run)
        await trio.sleep(2 * CALM)
        nursery.cancel_scope.cancel()
    assert seen == list(range(QUEUED))


async def test_who_may_not_write_is_told_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def mend(_numbers: Sequence[PackNumber]) -> VerifyReport:
        raise LockedError("held by another")

    repair = ReadRepair(mend)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(repair.run)
        for number in range(3):
            repair.note(packs(number))
            await trio.sleep(3 * CALM)
        nursery.cancel_scope.cancel()
    assert [r.levelno for r in caplog.records].count(logging.WARNING) == 1


async def damaged(tmp_path: Path) -> tuple[Path, bytes]:
    """A store with a model of which one shard is damaged."""
    data = weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.safetensors")
    first = next(p for p in data_shards(tmp_path / "store") if p.name.startswith("0-"))
    flip_bit(first, 1000)
    return tmp_path / "store", data


async def test_what_a_read_finds_is_mended(tmp_path: Path) -> None:
    path, data = await damaged(tmp_path)
    async with open_store(str(path), reading=ReadOptions(repair=True)) as store:
        assert store.read_repair is not None
        assert await read(store, "acme/model/model.safetensors") == data
        with trio.fail_after(60):
            await store.read_repair._some.wait()
        found = list(store.read_repair._queue)
        noted = [pack for pack in store.index.packs() if ShardState.DAMAGED in pack.states]
        assert [pack.number for pack in noted] == found
        report = await store._mend(found)
        assert [problem.repaired for problem in report.problems] == [True]
        assert (await store.verify()).exit_status == 0


async def test_nothing_waits_for_who_is_alone(tmp_path: Path) -> None:
    path, data = await damaged(tmp_path)
    async with open_store(str(path), reading=ReadOptions(repair=True)) as store:
        async with locked(store.access.lock("store"), what="gc"):
            assert await read(store, "acme/model/model.safetensors") == data
            with pytest.raises(LockedError):
                await store._mend(packs(1))
        assert await read(store, "acme/model/model.safetensors") == data


async def test_by_default_nothing_is_mended(tmp_path: Path) -> None:
    path, _ = await damaged(tmp_path)
    async with open_store(str(path)) as store:
        assert store.read_repair is None
