"""rm and gc, killed or failed at every step: nothing that is reached is lost, and they can be
repeated; in the end nothing is left on the backends that nothing names."""

import json
import shutil
from pathlib import Path

import pytest

from modelfloat.backends.keys import parse_shard_key, session_key
from modelfloat.cas.formats.presence import Presence, PresenceRecord, encode_presence
from modelfloat.cas.gc.merging import MANY
from modelfloat.cas.lease.mounts import TERM
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.ids import ObjectId, SiteId, WriterId
from modelfloat.opening import open_store
from modelfloat.tests.support.ages import DAY, days_ago, grow_old
from modelfloat.tests.support.crashing import Crasher, Fault, Ran, each_step
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

ALL_STEPS = [False, pytest.param(True, marks=pytest.mark.slow)]
FAULTS: list[Fault] = ["unavailable", "full"]
KEPT = {"acme/part/a": "a", "acme/other/c": "c", "acme/more/d": "d"}


@pytest.fixture
async def template(tmp_path: Path) -> dict[str, bytes]:
    """A store of 2+1 in `template`, in which a gc has every kind of work to do.

    One pack of which a third is needed, one of which nothing is, so many small ones that they are
    merged; a shard that nothing names.
    """
    source = tmp_path / "source"
    source.mkdir()
    files = {name: weights(source / name, 400_000, name) for name in "abcd"}
    weights(tmp_path / "e", 900_000, "e")
    whole = tmp_path / "whole"
    whole.mkdir()
    for name in "abx":
        files[name] = weights(whole / name, 400_000, name)
    async with fresh_store(tmp_path / "template", "2+1") as store:
        await add(store, whole, "acme/whole")
        await add(store, whole / "a", "acme/part")
        await add(store, source / "c", "acme/other")
        await add(store, source / "d", "acme/more")
        await add(store, tmp_path / "e", "acme/gone")
        for number in range(MANY):
            weights(tmp_path / "few", 50_000, f"few {number}")
            await add(store, tmp_path / "few", f"acme/few-{number}")
    shard = shard_files(tmp_path / "template")[0]
    orphan = tmp_path / "template/backends/d0/packs/ff" / ("ff" * 16)
    orphan.mkdir(parents=True)
    shutil.copy(shard, orphan / "0-1-1")
    return files


def copy_of(path: Path) -> Path:
    """A fresh copy, in the same place each time."""
    copy = path.with_name("store")
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(path, copy)


def prepared(crasher: Crasher, template: Path) -> Path:
    """The template after its removals."""
    for name in ("acme/whole", "acme/gone"):
        if crasher.run("--store", template, "ls", name).status == 0:
            assert crasher.run("--store", template, "rm", name).status == 0
    return template


def used(path: Path) -> int:
    """Bytes of all shards."""
    return sum(shard.stat().st_size for shard in shard_files(path))


def check_named(store: Store) -> None:
    """Every shard on the backends is one that the index names there, and the other way round."""
    there = set()
    for path in shard_files(Path(store.path)):
        parsed = parse_shard_key("/".join(path.parts[-4:]))
        assert parsed is not None
        there.add((parsed[0], parsed[1], path.parts[-5]))
    named = {
        (pack.id, index, store.members.name_of(where))
        for pack in store.index.packs()
        for index, where in enumerate(pack.backends)
    }
    assert there == named
    assert not list((Path(store.path) / "backends").glob("*/condemned/*"))


async def check_sound(path: Path, files: dict[str, bytes]) -> None:
    """What is reached is there, and nothing is damaged that repair does not mend."""
    async with open_store(str(path)) as store:
        for address, name in KEPT.items():
            assert await read(store, address) == files[name]
        found = await store.verify(repair=True)
        assert found.exit_status in (0, 3), found
        assert all(problem.repaired for problem in found.problems), found
        assert (await store.verify()).exit_status == 0


async def check_finished(path: Path, files: dict[str, bytes], size: int) -> None:
    """A gc did all there is to do; `size` bytes is what that leaves."""
    async with open_store(str(path)) as store:
        for address, name in KEPT.items():
            assert await read(store, address) == files[name]
        assert (await store.verify()).exit_status == 0
        check_named(store)
        assert used(path) <= size * 1.02
        again = await store.gc(grace=0)
        assert (again.deleted, again.rewritten, again.merged, again.freed) == (0, 0, 0, 0)


def collect(crasher: Crasher, path: Path, at: int | None = None, fault: Fault = "kill") -> Ran:
    return crasher.run("--store", path, "gc", "--grace", "0", at=at, fault=fault)


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_gc_is_killed(tmp_path: Path, template: dict[str, bytes], every: bool) -> None:
    with Crasher(tmp_path) as crasher:
        prepared(crasher, tmp_path / "template")
        clean = copy_of(tmp_path / "template")
        ran = collect(crasher, clean)
        assert ran.status == 0, ran
        size = used(clean)
        await check_finished(clean, template, size)
        assert len(ran.steps) > 60
        for at in each_step(len(ran.steps), all_of_them=every):
            path = copy_of(tmp_path / "template")
            died = collect(crasher, path, at)
            assert (died.status == -9) is died.struck, died
            print(f"killed at {at}: {died.steps[-1]}")
            await check_sound(path, template)
            again = collect(crasher, path)
            assert again.status == 0, again
            await check_finished(path, template, size)


@pytest.mark.parametrize("every", ALL_STEPS)
@pytest.mark.parametrize("fault", FAULTS)
async def test_gc_is_failed(
    tmp_path: Path, template: dict[str, bytes], fault: Fault, every: bool
) -> None:
    with Crasher(tmp_path) as crasher:
        prepared(crasher, tmp_path / "template")
        clean = copy_of(tmp_path / "template")
        ran = collect(crasher, clean)
        size = used(clean)
        for at in each_step(len(ran.steps), all_of_them=every):
            path = copy_of(tmp_path / "template")
            failed = collect(crasher, path, at, fault)
            print(f"failed at {at}: {failed}")
            assert failed.status in (0, 1), failed
            assert len(failed.complaints) == failed.status, failed
            assert "Traceback" not in failed.err
            await check_sound(path, template)
            again = collect(crasher, path)
            assert again.status == 0, again
            await check_finished(path, template, size)


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_rm_is_killed(tmp_path: Path, template: dict[str, bytes], every: bool) -> None:
    with Crasher(tmp_path) as crasher:
        path = copy_of(tmp_path / "template")
        steps = crasher.run("--store", path, "rm", "acme/gone").steps
        for at in each_step(len(steps), all_of_them=every):
            path = copy_of(tmp_path / "template")
            died = crasher.run("--store", path, "rm", "acme/gone", at=at)
            assert (died.status == -9) is died.struck, died
            await check_sound(path, template)
            again = crasher.run("--store", path, "rm", "acme/gone")
            # Where the journal had it already, it is as good as done.
            assert again.status == 0 or "there is no repository" in again.err, again
            async with open_store(str(path)) as store:
                assert "acme/gone" not in map(str, store.refs.repositories())
                assert (await store.verify()).exit_status == 0


KEPT_OPEN = "o"
"""The file that is open on a mount elsewhere, and that no ref reaches any more."""


async def beside_a_mount(path: Path) -> tuple[dict[str, bytes], ObjectId]:
    """A store of 2+1 in `path` in which all was long ago, and a gc has every kind of work to do
    beside a mount of another site; files that are reached, and the manifest that is open there."""
    source = path.with_name("source")
    source.mkdir()
    files = {name: weights(source / name, 400_000, name) for name in ("a", "x", KEPT_OPEN)}
    files |= {f"f{i}": weights(source / f"f{i}", 50_000, f"few {i}") for i in range(MANY)}
    async with fresh_store(path, "2+1") as store:
        with days_ago(60):
            for name in files:
                await add(store, source / name, f"acme/{name}")
        opened = store.find(parse_address(f"acme/{KEPT_OPEN}/{KEPT_OPEN}")).object
        with days_ago(30):
            for name in ("x", KEPT_OPEN):
                await store.remove(parse_address(f"acme/{name}"))
        mount = PresenceRecord(
            Presence.MOUNT, store.id, SiteId(b"e" * 16), b"m" * 16, 1, TERM, open=(opened,)
        )
        for member in list(store.members)[:2]:
            key = session_key(WriterId(mount.owner))
            await member.backend.put(key, [encode_presence(mount)])
    grow_old(shard_files(path), 60 * DAY)
    return files, opened


async def check_open(path: Path, files: dict[str, bytes], opened: ObjectId) -> None:
    """What refs reach and what is open elsewhere is there."""
    async with open_store(str(path)) as store:
        for name, data in files.items():
            if name not in ("x", KEPT_OPEN):
                assert await read(store, f"acme/{name}/{name}") == data
        file = store.reader.open(store.objects.manifest(opened))
        assert bytes(await file.read(0, len(files[KEPT_OPEN]))) == files[KEPT_OPEN]
        assert (await store.verify()).exit_status == 0


@pytest.mark.parametrize("every", ALL_STEPS)
async def test_gc_is_killed_beside_a_mount_elsewhere(tmp_path: Path, every: bool) -> None:
    files, opened = await beside_a_mount(tmp_path / "template")
    with Crasher(tmp_path) as crasher:
        clean = copy_of(tmp_path / "template")
        ran = crasher.run("--store", clean, "gc", "--json")
        assert ran.status == 0, ran
        report = json.loads(ran.out)
        assert report["deleted"] > 0
        assert report["merged"] >= MANY
        assert report["kept"][0]["who"] == "a mount of the site 65656565"
        await check_open(clean, files, opened)
        size = used(clean)
        for at in each_step(len(ran.steps), all_of_them=every, sample=5):
            path = copy_of(tmp_path / "template")
            died = crasher.run("--store", path, "gc", at=at)
            assert (died.status == -9) is died.struck, died
            print(f"killed at {at}: {died.steps[-1]}")
            await check_open(path, files, opened)
            # Shards that it stored, and that no record names, are kept for the grace period.
            grow_old(shard_files(path), 60 * DAY)
            assert crasher.run("--store", path, "gc").status == 0
            await check_open(path, files, opened)
            assert used(path) <= size * 1.02
            for session in path.glob("backends/*/sessions/*"):
                session.unlink()
            assert crasher.run("--store", path, "gc").status == 0
            assert used(path) < size - 400_000
