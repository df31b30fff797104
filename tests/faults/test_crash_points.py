"""Killed at every step of add: nothing is lost, nothing half there, and the command is repeated."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.journal import PackStored, Record, decode_record
from modelfloat.cas.store import Store
from modelfloat.errors import FormatError
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, each_step
from modelfloat.tests.support.stores import add, fresh_store, read, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]


@pytest.fixture
async def template(tmp_path: Path) -> dict[str, bytes]:
    """A store of 2+1 in `template` with one file in it, and a second one not yet added."""
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in ("old", "new")}
    async with fresh_store(tmp_path / "template", "2+1") as store:
        await add(store, tmp_path / "old")
    return files


def copy_of(template: Path) -> Path:
    """A fresh copy of the template, in the same place each time."""
    path = template.with_name("store")
    shutil.rmtree(path, ignore_errors=True)
    return shutil.copytree(template, path)


def records(store: Path) -> list[Record]:
    """Every journal record of which there is a sound copy."""
    found: dict[bytes, Record] = {}
    for path in (store / "backends").glob("*/journal/*/*"):
        try:
            record = decode_record(path.read_bytes(), path.name)
        except FormatError:
            continue
        found[record.digest] = record
    return list(found.values())


def data_packs(store: Path) -> int:
    """How many packs of file data the journal names."""
    entries = [entry for record in records(store) for entry in record.entries]
    return sum(isinstance(e, PackStored) and e.kind is Kind.DATA for e in entries)


async def check_history(store: Store, files: dict[str, bytes]) -> set[str]:
    """Every head is a commit that can be read back to its beginning; names in the newest."""
    names: set[str] = set()
    for head in store.index.refs():
        commit: bytes | None = head.commit
        while commit is not None:
            decoded = store.objects.commit(commit)
            entries = list(store.objects.directory(decoded.tree).entries())
            names = names or {entry.name.decode() for entry in entries}
            commit = decoded.parents[0] if decoded.parents else None
    for name in names:
        assert await read(store, f"acme/model/{name}") == files[name]
    return names


async def check_after(path: Path, files: dict[str, bytes]) -> None:
    """What must hold of a store in which `add new` died, and of the `add new` after it."""
    stored = data_packs(path) > 1
    async with open_store(str(path)) as store:
        assert "old" in await check_history(store, files)
        found = await store.verify()
        assert found.exit_status in (0, 3), found
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0
        report = await add(store, path.parent / "new")
        assert (report.new == 0) is stored
        assert await check_history(store, files) == {"old", "new"}
        assert len(store.index.refs()) == 1
        assert (await store.verify()).exit_status == 0


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_add_is_killed(tmp_path: Path, template: dict[str, bytes], every: bool) -> None:
    with Crasher(tmp_path) as crasher:

        def run(path: Path, at: int | None = None) -> list[str]:
            ran = crasher.run("--store", path, "add", tmp_path / "new", "acme/model", at=at)
            assert (ran.status == -9) is ran.struck, ran
            return ran.steps

        count = len(run(copy_of(tmp_path / "template")))
        assert count > 40
        for at in each_step(count, all_of_them=every):
            path = copy_of(tmp_path / "template")
            steps = run(path, at)
            print(f"killed at {steps[-1]}")
            await check_after(path, template)
