"""`add --move` killed or failing at its steps: a file is at its source, in the store, or in both.

Never neither. And the command, repeated, finishes.
"""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import NotFoundError
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Fault, each_step
from modelfloat.tests.support.stores import fresh_store, read, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.fixture
async def files(tmp_path: Path) -> dict[str, bytes]:
    """An empty store of 2+1 in `template`, and the files of the folder `sources`."""
    (tmp_path / "sources" / "sub").mkdir(parents=True)
    data = {"large": weights(tmp_path / "sources" / "large", 1_500_000)}
    for name in ("a", "sub/b"):
        data[name] = name.encode() * 100
        (tmp_path / "sources" / name).write_bytes(data[name])
    (tmp_path / "sources" / "link").symlink_to("a")
    async with fresh_store(tmp_path / "template", "2+1"):
        pass
    return data


def fresh(tmp_path: Path) -> tuple[Path, Path]:
    """A store and sources as they were, in the same places each time."""
    made = (tmp_path / "store", tmp_path / "moving")
    for path, template in zip(made, ("template", "sources"), strict=True):
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(tmp_path / template, path, symlinks=True)
    return made


def left(folder: Path) -> list[Path]:
    """What is in a folder."""
    return list(folder.iterdir())


async def has(store: Store, name: str, content: bytes) -> bool:
    """Whether the branch has that file with that content."""
    try:
        return await read(store, f"acme/m/{name}") == content
    except NotFoundError:
        return False


async def check(path: Path, source: Path, files: dict[str, bytes], *, finished: bool) -> None:
    """Nothing is lost; and if the command is `finished`, everything is moved and sound."""
    async with open_store(str(path)) as store:
        for name, content in files.items():
            there = (source / name).exists()
            if there:
                assert (source / name).read_bytes() == content
            assert await has(store, name, content) or (there and not finished)
            assert not (there and finished)
        if finished:
            assert left(source) == []
            commit = store.refs.resolve(parse_address("acme/m").repo)
            link = store.objects.find(store.objects.commit(commit).tree, (b"link",))
            assert link is not None
            assert link.target == b"a"
            assert (await store.verify()).exit_status == 0


def chosen(steps: list[str], *, every: bool) -> list[int]:
    """The steps on both sides of every unlink, and of the others a sample, or all."""
    unlinks = [i for i, step in enumerate(steps) if step.startswith("unlink")]
    assert len(unlinks) == 8
    return sorted({*unlinks, *each_step(len(steps), all_of_them=every)})


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_move_is_killed(tmp_path: Path, files: dict[str, bytes], every: bool) -> None:
    with Crasher(tmp_path) as crasher:
        path, source = fresh(tmp_path)
        clean = crasher.run("--store", path, "add", "--move", source, "acme/m")
        assert clean.status == 0, clean.err
        await check(path, source, files, finished=True)
        for at in chosen(clean.steps, every=every):
            path, source = fresh(tmp_path)
            ran = crasher.run("--store", path, "add", "--move", source, "acme/m", at=at)
            assert (ran.status == -9) is ran.struck, ran
            print(f"killed at {ran.steps[-1]}")
            await check(path, source, files, finished=False)
            again = crasher.run("--store", path, "add", "--move", source, "acme/m")
            assert again.status == 0, again.err
            await check(path, source, files, finished=True)


@pytest.mark.parametrize("fault", ["full", pytest.param("unavailable", marks=pytest.mark.slow)])
async def test_move_fails(tmp_path: Path, files: dict[str, bytes], fault: Fault) -> None:
    with Crasher(tmp_path) as crasher:
        path, source = fresh(tmp_path)
        clean = crasher.run("--store", path, "add", "--move", source, "acme/m")
        for at in each_step(len(clean.steps), all_of_them=False):
            path, source = fresh(tmp_path)
            command = ("--store", path, "add", "--move", source, "acme/m")
            ran = crasher.run(*command, at=at, fault=fault, lasting=True)
            assert ran.status in (0, 1), ran
            assert (ran.status == 1) is bool(ran.complaints), ran
            await check(path, source, files, finished=False)
            again = crasher.run(*command)
            assert again.status == 0, again.err
            await check(path, source, files, finished=True)
