"""What is stored copied into packs of another scheme: all of it reads back, the old packs go."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.refnames import RepoName
from modelfloat.cas.store import Store
from modelfloat.creating import BackendSpec, create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import BusyError, UnavailableError
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, each_step
from modelfloat.tests.support.stores import add, read, weights

EVERY = [pytest.param(False, id="sample"), pytest.param(True, id="all", marks=pytest.mark.slow)]


@pytest.fixture
async def stored(tmp_path: Path) -> tuple[Path, dict[str, bytes]]:
    """A store of 2+1 over six directories, with two models."""
    files = {name: weights(tmp_path / name, 2_500_000, name) for name in ("one", "two")}
    path = tmp_path / "store"
    specs = [BackendSpec(f"d{i}", f"backends/d{i}") for i in range(6)]
    await create_store(str(path), Scheme(2, 1), specs, reserve=0)
    async with open_store(str(path)) as store:
        for name in files:
            await add(store, tmp_path / name, f"acme/{name}")
    return path, files


async def check(store: Store, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        assert await read(store, f"acme/{name}/{name}") == data
    assert (await store.verify()).exit_status == 0


def schemes(store: Store) -> set[tuple[int, int]]:
    return {(pack.k, pack.m) for pack in store.index.packs()}


@pytest.mark.parametrize("wanted", ["4+2", "4+1"])
async def test_all_of_it(stored: tuple[Path, dict[str, bytes]], wanted: str) -> None:
    path, files = stored
    scheme = Scheme.parse(wanted)
    async with open_store(str(path)) as store:
        before = schemes(store)
        planned = await store.restripe(scheme, dry_run=True)
        assert schemes(store) == before
        report = await store.restripe(scheme)
        assert (report.packs, report.bytes) == (planned.packs, planned.bytes)
        assert report.skipped == report.stronger == 0
        again = await store.restripe(scheme)
        assert again.packs == 0
        await store.gc(grace=0)
        assert schemes(store) == {(scheme.k, scheme.m), (1, scheme.m)}
        await check(store, files)


async def test_one_repository(stored: tuple[Path, dict[str, bytes]]) -> None:
    path, files = stored
    async with open_store(str(path)) as store:
        await store.restripe(Scheme(4, 2), RepoName("acme", "one"))
        await store.gc(grace=0)
        assert schemes(store) == {(4, 2), (1, 2), (2, 1), (1, 1)}
        await check(store, files)


async def test_packs_with_more_parity_stay(stored: tuple[Path, dict[str, bytes]]) -> None:
    path, files = stored
    async with open_store(str(path)) as store:
        packs = sum(1 for _ in store.index.packs())
        report = await store.restripe(Scheme(4, 0))
        assert (report.packs, report.stronger) == (0, packs)
        await check(store, files)


async def test_less_would_survive(stored: tuple[Path, dict[str, bytes]]) -> None:
    path, files = stored
    async with open_store(str(path)) as store:
        for dry_run in (True, False):
            with pytest.raises(BusyError, match=r"as 8\+1 less would survive"):
                await store.restripe(Scheme(8, 1), dry_run=dry_run)
        assert schemes(store) == {(2, 1), (1, 1)}
        await store.restripe(Scheme(8, 1), force=True)
        assert (8, 1) in schemes(store)
        await check(store, files)


async def test_nothing_is_made_while_a_backend_is_down(
    stored: tuple[Path, dict[str, bytes]],
) -> None:
    path, _ = stored
    shutil.rmtree(path / "backends" / "d3")
    async with open_store(str(path)) as store:
        packs = sum(1 for _ in store.index.packs())
        with pytest.raises(UnavailableError, match="with d3 down"):
            await store.restripe(Scheme(4, 2))
        assert sum(1 for _ in store.index.packs()) == packs


@pytest.mark.parametrize("every", EVERY)
async def test_killed(stored: tuple[Path, dict[str, bytes]], every: bool) -> None:
    path, files = stored
    copy, command = path.parent / "copy", ("restripe", "--erasure", "4+2")
    with Crasher(path.parent) as crasher:
        shutil.copytree(path, copy, symlinks=True)
        clean = crasher.run("--store", copy, *command)
        assert clean.status == 0, clean.err
        for at in each_step(len(clean.steps), all_of_them=every, sample=4):
            shutil.rmtree(copy)
            shutil.copytree(path, copy, symlinks=True)
            crasher.run("--store", copy, *command, at=at)
            assert crasher.run("--store", copy, *command).status == 0
            async with open_store(str(copy)) as store:
                await store.gc(grace=0)
                assert schemes(store) == {(4, 2), (1, 2)}
                await check(store, files)
