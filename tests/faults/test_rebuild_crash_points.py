"""rebuild-index killed, or out of disk, at every step: the old index stays until the new one is."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.refnames import parse_address
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.crashing import Crasher, Fault, each_step
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.stores import add, fresh_store, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.fixture
async def template(tmp_path: Path) -> Path:
    """A store with two repositories, one tag, and something removed and collected."""
    for name in ("one", "two", "gone"):
        weights(tmp_path / name, 900_000, name)
    async with fresh_store(tmp_path / "template", "2+1") as store:
        await add(store, tmp_path / "one", "acme/one")
        await store.add([str(tmp_path / "two")], parse_address("acme/two"), tag="v1")
        await add(store, tmp_path / "gone", "acme/gone")
    return tmp_path / "template"


def copy_of(path: Path) -> Path:
    """A fresh copy, in the same place each time."""
    copy = path.with_name("store")
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(path, copy)


@pytest.mark.parametrize("all_of_them", ALL_STEPS)
@pytest.mark.parametrize(
    ("index", "fault"), [("there", "kill"), ("there", "full"), ("lost", "kill")]
)
async def test_at_every_step(
    tmp_path: Path, template: Path, index: str, fault: Fault, all_of_them: bool
) -> None:
    before = picture(template)
    if index == "lost":
        shutil.rmtree(template / "index")
    with Crasher(tmp_path) as crasher:
        clean = crasher.run("--store", copy_of(template), "rebuild-index")
        assert (clean.status, clean.complaints) == (0, [])
        assert len(clean.steps) > 10
        steps = list(each_step(len(clean.steps), all_of_them=all_of_them))
        for at in steps if all_of_them else steps[::2]:
            store = copy_of(template)
            ran = crasher.run("--store", store, "rebuild-index", at=at, fault=fault)
            # Alone with a store a rebuild goes on without the lease that keeps others away.
            if not ran.struck or (fault == "full" and "lease/" in ran.steps[at]):
                assert ran.status == 0
            elif fault == "full":
                assert ran.status == 1
                assert len(ran.complaints) == 1
                assert not (store / "index.rebuild").exists()
            # At the last steps the new one may be in place; before them the old one is.
            status = crasher.run("--store", store, "ls", "acme/one").status
            assert status == 0 or index == "lost"
            again = crasher.run("--store", store, "rebuild-index")
            assert (again.status, again.complaints) == (0, [])
            assert differences(before, picture(store)) == []
            assert not (store / "index.rebuild").exists()


async def test_after_rm_and_gc(tmp_path: Path, template: Path) -> None:
    """Tombstones, copied chunks and merged packs come back as they were."""
    async with open_store(str(template)) as store:
        await store.remove(parse_address("acme/gone"), grace=0)
        await store.gc(grace=0)
        (tmp_path / "more").write_text("more")
        await add(store, tmp_path / "more", "acme/more")
    before = picture(template)
    assert before["deleted"]
    shutil.rmtree(template / "index")
    assert (await rebuild_store(str(template))).exit_status == 0
    assert differences(before, picture(template)) == []
    async with open_store(str(template)) as store:
        assert (await store.verify()).exit_status == 0
        assert (await store.gc(grace=0, dry_run=True)) is not None
