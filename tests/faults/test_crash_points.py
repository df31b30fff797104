"""Killed, or failed, at every step of add and of verify --repair: nothing is lost, nothing is half
there, and the command is repeated."""

import shutil
from pathlib import Path

import pytest

from modelfloat.cas.formats.chunktable import Kind
from modelfloat.cas.formats.journal import PackStored, Record, decode_record
from modelfloat.cas.store import Store
from modelfloat.errors import FormatError
from modelfloat.opening import open_store
from modelfloat.tests.support.crashing import Crasher, Fault, Ran, each_step
from modelfloat.tests.support.damage import (
    all_files,
    flip_payload,
    flip_trailer,
    lose,
    packs_of,
)
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


def complaint(ran: Ran) -> str:
    """The one line that a command which failed says."""
    assert ran.status == 1, ran
    (line,) = ran.complaints
    assert line.startswith("modelfloat: "), line
    assert "unexpected" not in line
    return line


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("fault", ["full", "denied", "unavailable"])
async def test_add_fails(
    tmp_path: Path, template: dict[str, bytes], fault: Fault, lasting: bool, every: bool
) -> None:
    """One line says what and where; the repeat succeeds."""
    with Crasher(tmp_path) as crasher:
        arguments = ["add", tmp_path / "new", "acme/model"]
        count = len(crasher.run("--store", copy_of(tmp_path / "template"), *arguments).steps)
        for at in each_step(count, all_of_them=every, sample=4):
            path = copy_of(tmp_path / "template")
            options = {"fault": fault, "lasting": lasting}
            ran = crasher.run("--store", path, *arguments, at=at, **options)  # type: ignore[arg-type]
            print(f"{ran.status} at {ran.steps[min(at, len(ran.steps) - 1)]}: {ran.err}")
            if ran.status:
                line = complaint(ran)
                struck = ran.steps[at]
                where = struck.split()[2] if struck.startswith(("put", "delete", "slot")) else ""
                # Of a failure that lasts another backend may be the one that is named.
                assert lasting or where in line, (struck, line)
                named = any(text in line for text in ("backend d", "with d", "index"))
                assert struck.startswith("slot") or named
            await check_after(path, template)


@pytest.fixture
async def damaged(tmp_path: Path) -> dict[Path, bytes]:
    """The template with damage that can be mended; what its files were."""
    files = {name: weights(tmp_path / name, 1_500_000, name) for name in ("old", "new")}
    async with fresh_store(tmp_path / "template", "2+1") as store:
        for name in files:
            await add(store, tmp_path / name)
    before = all_files(tmp_path / "template")
    split, other = [pack for pack in packs_of(tmp_path / "template") if pack.k > 1]
    copies = next(pack for pack in packs_of(tmp_path / "template") if pack.k == 1)
    lose(split.shards[0])
    flip_payload(other.shards[2])
    flip_trailer(copies.shards[1])
    records_ = sorted((tmp_path / "template" / "backends").glob("*/journal/*/*"))
    lose(records_[0])
    return before


async def check_mended(path: Path, before: dict[Path, bytes]) -> None:
    """What must hold after a repair that broke off, and of the repair after it."""
    async with open_store(str(path)) as store:
        for name in ("old", "new"):
            assert await read(store, f"acme/model/{name}") == (path.parent / name).read_bytes()
        found = await store.verify()
        assert found.exit_status in (0, 3)
        assert all(p.repaired for p in (await store.verify(repair=True)).problems)
        assert (await store.verify()).exit_status == 0
    # A shard that its backend refused lies on another; its bytes are the same.
    assert contents(before) <= contents(all_files(path))


def contents(files: dict[Path, bytes]) -> set[tuple[tuple[str, ...], bytes]]:
    """Keys of shards and records, wherever they lie, and their bytes."""
    return {(p.parts[-4:], data) for p, data in files.items() if "packs" in p.parts} | {
        (p.parts[-2:], data) for p, data in files.items() if "journal" in p.parts
    }


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize("fault", ["kill", "full", "denied", "unavailable"])
async def test_repair_breaks_off(
    tmp_path: Path, damaged: dict[Path, bytes], fault: Fault, every: bool
) -> None:
    with Crasher(tmp_path) as crasher:
        whole = crasher.run("--store", copy_of(tmp_path / "template"), "verify", "--repair")
        assert whole.status == 3, whole
        for at in each_step(len(whole.steps), all_of_them=every, sample=6):
            path = copy_of(tmp_path / "template")
            ran = crasher.run("--store", path, "verify", "--repair", at=at, fault=fault)
            assert ran.status in ((-9,) if fault == "kill" and ran.struck else (1, 3)), ran
            if ran.status == 1:
                complaint(ran)
            await check_mended(path, damaged)
