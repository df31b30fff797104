"""push and pull, killed or failed at every step: what was there stays whole, branches show what is
all there, and done again they get to their end."""

import shutil
from pathlib import Path

import pytest

from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Fault, Ran, each_step
from modelfloat.tests.support.encrypted import KEYS, WORDS, make_encrypted
from modelfloat.tests.support.stores import add, fresh_store, read, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]
FAULTS = ["kill", pytest.param("full", marks=pytest.mark.slow)]
SAMPLE = 3
REPO = "acme/model"


@pytest.fixture
async def files(tmp_path: Path) -> list[bytes]:
    """In `template`: a store `here` with two commits, whose contents these are, a directory `stick`
    that has the first, and an encrypted store `sealed` that has none."""
    template, source = tmp_path / "template", tmp_path / "model.safetensors"
    template.mkdir()
    (template / "words").write_text(f"{WORDS}\n")
    first = weights(source, 1_500_000, "first")
    async with fresh_store(template / "here", "2+1") as store:
        await add(store, source)
    with Crasher(tmp_path) as crasher:
        ran = crasher.run("--store", template / "here", "push", template / "stick", REPO)
        assert ran.status == 0, ran
    second = weights(source, 1_500_000, "second")
    async with open_store(str(template / "here")) as store:
        await add(store, source)
    await make_encrypted(template / "sealed")
    shutil.rmtree(tmp_path / "crasher")
    return [first, second]


def copy_of(folder: Path) -> Path:
    """A fresh copy of the template, in the same place each time."""
    copy = folder / "now"
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(folder / "template", copy)


def push(crasher: Crasher, now: Path, where: str, at: int | None = None, **how: object) -> Ran:
    fault: Fault = how.get("fault", "kill")  # type: ignore[assignment]
    # What is in the clear takes none.
    words = ("--their-passphrase-file", now / "words") if where == "sealed" else ()
    return crasher.run(
        "--store", now / "here", "push", now / where, REPO, *words, at=at, fault=fault
    )


async def pulled(crasher: Crasher, now: Path, where: str) -> bytes | None:
    """What another store gets from a directory; None where there is nothing yet."""
    there = now / "there"
    if not there.exists():
        assert crasher.run("--store", there, "--quiet", "init").status == 0
    ran = crasher.run("--store", there, "pull", now / where, REPO)
    if ran.status:
        assert ran.status == 1, ran
        assert "there is nothing at" in ran.err or "has no repository" in ran.err, ran
        return None
    async with open_store(str(there)) as store:
        return await read(store, f"{REPO}/model.safetensors")


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("where", ["stick", pytest.param("new", marks=pytest.mark.slow)])
async def test_a_push_into_a_directory(
    tmp_path: Path, files: list[bytes], where: str, fault: Fault, every: bool
) -> None:
    before = files[0] if where == "stick" else None
    with Crasher(tmp_path) as crasher:
        steps = push(crasher, copy_of(tmp_path), where).steps
        assert len(steps) > 20
        for at in each_step(len(steps), all_of_them=every, sample=SAMPLE):
            now = copy_of(tmp_path)
            ran = push(crasher, now, where, at, fault=fault)
            print(f"{fault} at {at}: {ran.steps[-1]}")
            assert not ran.struck or ran.status in ((-9,) if fault == "kill" else (0, 1)), ran
            found = await pulled(crasher, now, where)
            assert found in (before, files[1])
            again = push(crasher, now, where)
            assert again.status == 0, again
            assert await pulled(crasher, now, where) == files[1]


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_a_push_into_an_encrypted_store(
    tmp_path: Path, files: list[bytes], every: bool
) -> None:
    with Crasher(tmp_path) as crasher:
        steps = push(crasher, copy_of(tmp_path), "sealed").steps
        for at in each_step(len(steps), all_of_them=every, sample=SAMPLE):
            now = copy_of(tmp_path)
            died = push(crasher, now, "sealed", at)
            assert (died.status == -9) is died.struck, died
            async with open_store(str(now / "sealed"), keys=KEYS) as store:
                if store.refs.repositories():
                    assert await read(store, f"{REPO}/model.safetensors") == files[1]
            again = push(crasher, now, "sealed")
            assert again.status == 0, again
            async with open_store(str(now / "sealed"), keys=KEYS) as store:
                assert await read(store, f"{REPO}/model.safetensors") == files[1]
                assert await read(store, f"{REPO}@main~1/model.safetensors") == files[0]
                assert (await store.verify(repair=True)).exit_status in (0, 3)
                assert (await store.verify()).exit_status == 0


async def test_what_was_sent_before_a_crash_is_not_sent_again(
    tmp_path: Path, files: list[bytes]
) -> None:
    """Killed right before its branch moves, a push has sent everything."""
    with Crasher(tmp_path) as crasher:
        steps = push(crasher, copy_of(tmp_path), "stick").steps
        last = max(
            at for at, step in enumerate(steps) if "put begin" in step and "journal/" in step
        )
        now = copy_of(tmp_path)
        died = push(crasher, now, "stick", last)
        assert died.status == -9
        again = crasher.run("--store", now / "here", "--json", "push", now / "stick", REPO)
        assert '"missing_bytes": 0' in again.out
        assert '"result": "forward"' in again.out
