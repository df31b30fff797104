"""A store's folder put back from a backup: what was added since is on the backends, and stays."""

import itertools
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from modelfloat.backends.faulty import FaultyBackend
from modelfloat.creating import BackendSpec
from modelfloat.errors import UnavailableError
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.compacting import compacted
from modelfloat.tests.support.stores import add, fresh_store, read, weights

PARTS = ("index", "locks", "config.toml")


def unplug(path: Path, names: Iterable[str]) -> None:
    for name in names:
        (path / "backends" / name).rename(path / f"away-{name}")


def plug_in(path: Path, names: Iterable[str]) -> None:
    for name in names:
        (path / f"away-{name}").rename(path / "backends" / name)


def journal_copies(path: Path) -> set[Path]:
    """All copies of all records, below the folder of the backends."""
    folder = path / "backends"
    return {copy.relative_to(folder) for copy in folder.glob("*/journal/*/*")}


def carry(source: Path, target: Path) -> None:
    """Copy what a backup of a store's folder has."""
    for part in PARTS:
        shutil.rmtree(target / part, ignore_errors=True)
        copy = shutil.copytree if (source / part).is_dir() else shutil.copy2
        target.mkdir(exist_ok=True)
        copy(source / part, target / part)


def go_back(path: Path, backup: Path) -> None:
    """`carry` into the folders that are there: they keep their inodes."""
    for part in PARTS:
        for each in path.glob(f"{part}/*"):
            each.unlink()
        if (backup / part).is_dir():
            shutil.copytree(backup / part, path / part, dirs_exist_ok=True)
        else:
            shutil.copy2(backup / part, path / part)


async def put_back(path: Path, scheme: str, count: int) -> tuple[bytes, set[Path]]:
    """A store with x, then y, then its folder as it was before y; y's bytes and the copies of the
    records that tell of it."""
    for name in "xyz":
        weights(path.parent / name, 50_000, name)
    specs = tuple(BackendSpec(f"d{i}", f"backends/d{i}", f"domain{i}") for i in range(count))
    async with fresh_store(path, scheme, specs) as store:
        await add(store, path.parent / "x", "acme/x")
    carry(path, path.parent / "backup")
    before = journal_copies(path)
    async with open_store(str(path)) as store:
        await add(store, path.parent / "y", "acme/y")
    carry(path.parent / "backup", path)
    return (path.parent / "y").read_bytes(), journal_copies(path) - before


@pytest.mark.parametrize(("scheme", "count"), [("1+1", 3), ("2+1", 3), ("2+2", 4)])
async def test_an_add_with_any_m_backends_away_overwrites_nothing(
    tmp_path: Path, scheme: str, count: int
) -> None:
    names = [f"d{i}" for i in range(count)]
    for number, gone in enumerate(itertools.combinations(names, int(scheme[-1]))):
        path = tmp_path / str(number) / "s"
        path.parent.mkdir()
        y, copies = await put_back(path, scheme, count)
        unplug(path, gone)
        async with open_store(str(path)) as store:
            await add(store, path.parent / "z", "acme/z")
        plug_in(path, gone)
        assert copies <= journal_copies(path), gone
        async with open_store(str(path)) as store:
            await add(store, path.parent / "z", "acme/else")
            report = await store.verify(repair=True)
            assert {p.problem for p in report.problems} & {"copy that differs from the others"} == (
                set()
            ), gone
        await rebuild_store(str(path))
        async with open_store(str(path)) as store:
            assert (await store.verify()).exit_status == 0, gone
            assert await read(store, "acme/y/y") == y, gone


@pytest.mark.parametrize("left", [0, 1])
async def test_the_only_copy_of_a_record_is_away(tmp_path: Path, left: int) -> None:
    """The others failed; the number is not used again meanwhile."""
    path = tmp_path / "s"
    y, copies = await put_back(path, "1+1", 3)
    kept = {copy for copy in copies if copy.name.endswith(f"-{left}")}
    for copy in copies - kept:
        (path / "backends" / copy).unlink()
    holders = {copy.parts[0] for copy in kept}
    assert len(holders) == 1
    unplug(path, holders)
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "z", "acme/z")
    plug_in(path, holders)
    async with open_store(str(path)) as store:
        assert (await store.verify(repair=True)).exit_status in (0, 3)
    await rebuild_store(str(path))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/y/y") == y
        assert await read(store, "acme/z/z") == (tmp_path / "z").read_bytes()


async def test_a_copy_that_fails_goes_to_another_backend(tmp_path: Path) -> None:
    weights(tmp_path / "x", 50_000)
    specs = tuple(BackendSpec(f"d{i}", f"backends/d{i}", f"domain{i}") for i in range(3))
    async with fresh_store(tmp_path / "s", "1+1", specs) as store:
        await add(store, tmp_path / "x", "acme/x")
        holder = min(copy.parts[0] for copy in journal_copies(tmp_path / "s"))
        for member in store.members:
            if member.name == holder:
                member.backend = faulty = FaultyBackend(member.backend)
                faulty.inject("denied", on=["put"], prefix="journal/")
        before = journal_copies(tmp_path / "s")
        await add(store, tmp_path / "x", "acme/again")
        new = journal_copies(tmp_path / "s") - before
        assert {(c.name[-1], c.parts[0] == holder) for c in new} == {("0", False), ("1", False)}
        assert len({copy.parts[0] for copy in new}) == 2
        assert (await store.verify()).exit_status == 0


@pytest.mark.parametrize(("scheme", "count"), [("2+1", 3), ("1+1", 3)])
async def test_gc_waits_for_who_may_have_a_records_only_copy(
    tmp_path: Path, scheme: str, count: int
) -> None:
    """Folder put back, one copy of y's records left, on a backend that is away: 1 <= m."""
    path = tmp_path / "s"
    y, copies = await put_back(path, scheme, count)
    kept = {copy for copy in copies if copy.name.endswith("-0")}
    for copy in copies - kept:
        (path / "backends" / copy).unlink()
    holders = {copy.parts[0] for copy in kept}
    unplug(path, holders)
    async with open_store(str(path)) as store:
        with pytest.raises(UnavailableError, match="nothing is deleted"):
            await store.gc(grace=0)
    plug_in(path, holders)
    async with open_store(str(path)) as store:
        await store.gc(grace=0)
        assert await read(store, "acme/y/y") == y


async def test_repair_keeps_what_another_record_of_a_number_says(tmp_path: Path) -> None:
    """Earlier releases may have used a number again: y's records beside z's, one copy of each."""
    path = tmp_path / "s"
    y, copies = await put_back(path, "1+1", 2)
    held = {copy: (path / "backends" / copy).read_bytes() for copy in copies}
    for copy in copies:
        (path / "backends" / copy).unlink()
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "z", "acme/z")
        for copy, data in held.items():
            if copy.name.endswith("-0"):
                (path / "backends" / copy).write_bytes(data)
        report = await store.verify(repair=True)
        assert "copy that differs from the others" in {p.problem for p in report.problems}
        assert await read(store, "acme/y/y") == y
        assert await read(store, "acme/z/z") == (tmp_path / "z").read_bytes()
        assert (await store.verify()).exit_status == 0
    await rebuild_store(str(path))
    async with open_store(str(path)) as store:
        assert await read(store, "acme/y/y") == y


@pytest.mark.parametrize("known", [False, True], ids=["loose", "in a segment"])
async def test_numbers_that_are_in_a_segment_are_not_used_again(
    tmp_path: Path, *, known: bool
) -> None:
    """No copy is left at their keys, and the old index knows of no segment that has them. As when a
    machine goes back to a snapshot of its disk: it is no other site, nobody else is known."""
    path = tmp_path / "s"
    for name in "xyz":
        weights(tmp_path / name, 50_000, name)
    async with fresh_store(path, "1+1") as store:
        await add(store, tmp_path / "x", "acme/x")
        if known:
            async with store.access.writing("beside it"):
                await compacted(store)
    carry(path, tmp_path / "backup")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "y", "acme/y")
        async with store.access.writing("beside it"):
            await compacted(store)
    go_back(path, tmp_path / "backup")
    async with open_store(str(path)) as store:
        await add(store, tmp_path / "z", "acme/z")
        await store.gc(grace=0)
    for again in (False, True):
        if again:
            await rebuild_store(str(path))
        async with open_store(str(path)) as store:
            for name in "xyz":
                content = await read(store, f"acme/{name}/{name}")
                assert content == (tmp_path / name).read_bytes(), name
            assert (await store.verify()).exit_status == 0
