"""Rebalancing while a backend takes nothing more: what lies there is not moved for that."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.backendchanges import add_backend, change_backend
from modelfloat.cas.capacity import bytes_on
from modelfloat.config import read_config, write_config
from modelfloat.creating import BackendSpec
from modelfloat.draining import MoveRequest, rebalance
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import add, fresh_store, shard_files, weights

NAMES = ("d0", "d1", "d2")
Hold = Callable[[Path, str], Awaitable[None]]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store of 2+1 on three directories, with models, closed."""
    specs = tuple(BackendSpec(n, str(tmp_path / f"store/backends/{n}")) for n in NAMES)
    async with fresh_store(tmp_path / "store", "2+1", specs) as store:
        for number in range(3):
            weights(tmp_path / f"{number}", 1_500_000, f"{number}")
            await add(store, tmp_path / f"{number}", f"acme/m{number}")
    return tmp_path / "store"


async def fill(path: Path, name: str) -> None:
    """A backend may hold what it holds, and no byte more."""
    async with open_store(str(path)) as store:
        held = bytes_on(store.index.packs())
        (most,) = [held[member.id] for member in store.members if member.name == name]
    await change_backend(str(path), name, {"capacity": most})


async def forbid(path: Path, name: str) -> None:
    """A backend is read-only."""
    config = read_config(str(path))
    backends = [replace(b, state="read-only") if b.name == name else b for b in config.backends]
    write_config(str(path), replace(config, backends=tuple(backends)))


@pytest.mark.parametrize("hold", [fill, forbid])
async def test_what_takes_no_more_keeps_what_it_has(path: Path, hold: Hold) -> None:
    await hold(path, "d0")
    before = {name: shard_files(path, name) for name in NAMES}
    moved = await rebalance(str(path), MoveRequest())
    assert (moved.plan.shards, moved.report.shards) == (0, 0)
    assert {name: shard_files(path, name) for name in NAMES} == before


async def test_what_is_new_gets_its_part_beside_what_is_full(path: Path) -> None:
    await fill(path, "d0")
    for number in range(3, 9):
        await add_backend(str(path), f"d{number}", str(path / f"backends/d{number}"))
    moved = await rebalance(str(path), MoveRequest())
    assert moved.report.shards == moved.plan.shards > 0
    assert {move.target for move in moved.plan.moves} <= {f"d{number}" for number in range(3, 9)}
    again = await rebalance(str(path), MoveRequest())
    assert again.report.shards == 0
    async with open_store(str(path)) as store:
        assert (await store.verify()).exit_status == 0
