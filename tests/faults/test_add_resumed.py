"""Adds that end early, by a kill or a full disk: the branch is as it was, and the next goes on."""

import shutil
from pathlib import Path

import pytest

from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Ran, each_step
from modelfloat.tests.support.stores import add, fresh_store, read, weights


async def test_what_a_killed_add_had_stored_is_used_and_told(tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    data = weights(source, 90_000_000)
    async with fresh_store(tmp_path / "template", "2+1"):
        pass
    with Crasher(tmp_path) as crasher:

        def run(name: str, at: int | None = None) -> Ran:
            return crasher.run("--store", tmp_path / name, "add", source, "acme/m", at=at)

        shutil.copytree(tmp_path / "template", tmp_path / "clean")
        clean = run("clean").steps
        # Encoding and storing race: the moment has another number in each run.
        for at in range(len(clean)):
            if not _knows_a_pack(clean[: at + 1]):
                continue
            shutil.copytree(tmp_path / "template", tmp_path / "killed")
            killed = run("killed", at)
            assert killed.status == -9
            if _knows_a_pack(killed.steps):
                break
            shutil.rmtree(tmp_path / "killed")
        out = run("killed").out
    assert "66.6 MB of 90.0 MB were already stored" in out
    async with open_store(str(tmp_path / "killed")) as store:
        assert await read(store, "acme/m/model.safetensors") == data
        assert (await store.verify()).exit_status == 0


def _knows_a_pack(steps: list[str]) -> bool:
    """Whether the index was written to after a journal record was durable."""
    stored = [
        i for i, step in enumerate(steps) if step.startswith("put end") and "journal/" in step
    ]
    return bool(stored) and any(step.startswith("index end") for step in steps[stored[0] :])


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_a_disk_that_is_full_at_any_step(tmp_path: Path, every: bool) -> None:
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in ("old", "new")}
    async with fresh_store(tmp_path / "template", "2+1") as store:
        await add(store, tmp_path / "old", "acme/m")
    with Crasher(tmp_path) as crasher:
        path = tmp_path / "store"
        command = ("--store", path, "add", tmp_path / "new", "acme/m")
        shutil.copytree(tmp_path / "template", path)
        steps = crasher.run(*command).steps
        for at in each_step(len(steps), all_of_them=every):
            shutil.rmtree(path)
            shutil.copytree(tmp_path / "template", path)
            ran = crasher.run(*command, at=at, fault="full", lasting=True)
            print(f"full at {steps[at]}: {ran.err}")
            assert ran.status in (0, 1), ran
            assert len(ran.complaints) == ran.status, ran
            async with open_store(str(path)) as store:
                assert await read(store, "acme/m/old") == files["old"]
            again = crasher.run(*command)
            assert again.status == 0, again.err
            async with open_store(str(path)) as store:
                assert await read(store, "acme/m/new") == files["new"]
                assert all(p.repaired for p in (await store.verify(repair=True)).problems)
                assert (await store.verify()).exit_status == 0
