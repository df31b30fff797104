"""`backend drain`, `rebalance` and `verify --repair`, killed and failing at their steps: nothing is
lost, and the next run goes on."""

import shutil
from pathlib import Path

import pytest

from modelfloat.backendchanges import add_backend
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Fault, each_step
from modelfloat.tests.support.stores import add, read, shard_files, weights

EVERY = [pytest.param(False, id="sample"), pytest.param(True, id="all", marks=pytest.mark.slow)]
SAMPLE = 6


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, bytes]:
    """A store of 2+1 on three directories of its own, a fourth one added, with a model."""
    data = weights(tmp_path / "model.safetensors", 1_500_000)
    path = tmp_path / "store"
    specs = [BackendSpec(f"d{i}", f"backends/d{i}") for i in range(3)]
    await create_store(str(path), Scheme(2, 1), specs, reserve=0)
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "model.safetensors")
    await add_backend(str(path), "d3", "backends/d3")
    return path, data


async def check(path: Path, data: bytes, *, whole: bool) -> None:
    """The model reads back; what is `whole` is also found so."""
    async with open_store(str(path)) as store:
        assert await read(store, "acme/model/model.safetensors") == data
        report = await store.verify()
        assert report.lost == []
        if whole:
            assert report.exit_status == 0, report.problems


def damaged(path: Path) -> None:
    """Lose the shards of one directory."""
    shutil.rmtree(path / "backends" / "d1" / "packs")


COMMANDS = [
    pytest.param(("backend", "drain", "d1"), True, id="drain"),
    pytest.param(("backend", "rebalance"), True, id="rebalance"),
    pytest.param(("verify", "--repair"), False, id="repair"),
]


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize(("command", "whole"), COMMANDS)
async def test_killed(
    stored: tuple[Path, bytes], command: tuple[str, ...], whole: bool, every: bool
) -> None:
    path, data = stored
    if not whole:
        damaged(path)
    await _strike(path, data, command, "kill", whole=whole, every=every)


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("fault", ["unavailable", "full"])
async def test_draining_fails(stored: tuple[Path, bytes], fault: Fault, every: bool) -> None:
    path, data = stored
    await _strike(path, data, ("backend", "drain", "d1"), fault, whole=True, every=every)


async def _strike(
    path: Path, data: bytes, command: tuple[str, ...], fault: Fault, *, whole: bool, every: bool
) -> None:
    copy = path.parent / "copy"
    done = (0, 3) if command[0] == "verify" else (0,)
    with Crasher(path.parent) as crasher:
        shutil.copytree(path, copy, symlinks=True)
        clean = crasher.run("--store", copy, *command)
        assert clean.status in done, clean.err
        for at in each_step(len(clean.steps), all_of_them=every, sample=SAMPLE):
            shutil.rmtree(copy)
            shutil.copytree(path, copy, symlinks=True)
            crasher.run("--store", copy, *command, at=at, fault=fault)
            await check(copy, data, whole=whole)
            again = crasher.run("--store", copy, *command)
            assert again.status in done, again.err
            await check(copy, data, whole=True)
            if command[:2] == ("backend", "drain"):
                collected = crasher.run("--store", copy, "gc", "--grace", "0")
                assert collected.status == 0, collected.err
                assert shard_files(copy, "d1") == []
                await check(copy, data, whole=True)
