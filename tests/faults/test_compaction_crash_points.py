"""The journal compacted by gc, killed or failed at every step: the index that is made from what is
left says what the old one did, and the next gc finishes."""

import shutil
from pathlib import Path

import pytest

from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.compacting import journal_files, many_records, segments
from modelfloat.tests.support.crashing import Crasher, Fault, each_step
from modelfloat.tests.support.indexes import differences, picture
from modelfloat.tests.support.stores import add, fresh_store, read, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]
RECORDS = 70


def copy_of(path: Path) -> Path:
    """A fresh copy, in the same place each time."""
    copy = path.with_name("store")
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(path, copy)


async def check(path: Path, data: bytes, before: dict[str, object]) -> None:
    """Nothing is lost: not here, and not for who has the backends alone."""
    async with open_store(str(path)) as store:
        assert await read(store, "acme/one/one") == data
        found = await store.verify(repair=True)
        assert all(problem.repaired for problem in found.problems), found
    assert set(differences(before, picture(path))) <= {"writers"}
    # In place: a copy would be another site, and wait for the lease of who died.
    shutil.rmtree(path / "index")
    report = await rebuild_store(str(path))
    assert report.missing == []
    assert set(differences(before, picture(path))) <= {"writers"}


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize("fault", ["kill", pytest.param("unavailable", marks=pytest.mark.slow)])
async def test_at_every_step(tmp_path: Path, fault: Fault, every: bool) -> None:
    template, data = tmp_path / "template", weights(tmp_path / "one", 300_000)
    async with fresh_store(template, "2+1") as store:
        await add(store, tmp_path / "one", "acme/one")
        await many_records(store, RECORDS)
    before = picture(template)
    with Crasher(tmp_path) as crasher:
        path = copy_of(template)
        ran = crasher.run("--store", path, "gc", "--grace", "0")
        assert ran.status == 0, ran
        assert (len(segments(path)), len(journal_files(path))) == (1, 1)
        # What comes before the segment is gc as it ever was.
        first = next(i for i, step in enumerate(ran.steps) if "journal/" in step)
        await check(path, data, before)
        for step in each_step(len(ran.steps) - first, all_of_them=every, sample=5):
            path = copy_of(template)
            died = crasher.run("--store", path, "gc", "--grace", "0", at=first + step, fault=fault)
            print(f"{fault} at {first + step}: {died}")
            await check(path, data, before)
            assert crasher.run("--store", path, "gc", "--grace", "0").status == 0
            async with open_store(str(path)) as store:
                assert (await store.verify()).exit_status == 0
