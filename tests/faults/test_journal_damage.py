"""Every copy of every journal record: missing, torn, swapped, foreign; found, and mended."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelfloat.opening import open_store
from modelfloat.tests.support.damage import (
    all_files,
    empty,
    flip_bit,
    foreign_shard,
    lengthen,
    lose,
    swap_shards,
    truncate,
)
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (lose, "missing copy"),
    "torn": (lambda path: truncate(path, path.stat().st_size // 2), "damaged copy"),
    "torn at its end": (lambda path: truncate(path, -1), "damaged copy"),
    "empty": (empty, "damaged copy"),
    "longer": (lengthen, "damaged copy"),
    "head": (lambda path: flip_bit(path, 60), "damaged copy"),
    "entries": (lambda path: flip_bit(path, 150), "damaged copy"),
    "digest": (lambda path: flip_bit(path, -1), "damaged copy"),
}


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store of 4+2 with two commits: six records or so, each on three backends."""
    async with fresh_store(tmp_path / "store", "4+2") as store:
        for name in "ab":
            (tmp_path / name).write_bytes(noise(name, 20_000))
            await add(store, tmp_path / name)
    return tmp_path / "store"


def copies(store: Path) -> dict[tuple[int, int], Path]:
    """All copies of all records, by number and copy."""
    found = {}
    for path in (store / "backends").glob("*/journal/*/*"):
        seq, _, copy = path.name.partition("-")
        found[int(seq, 16), int(copy)] = path
    return found


async def check_mended(store: Path, expected: dict[tuple[int, int], str]) -> None:
    """Damaged copies, by number and copy, are found under fitting names and mended."""
    before = copies(store)
    async with open_store(str(store)) as engine:
        found = await engine.verify()
        assert found.exit_status == 3
        said = {(int(p.pack.rpartition("/")[2]), p.index): p for p in found.problems}
        assert {place: p.problem for place, p in said.items()} == expected
        assert {p.kind for p in found.problems} == {"journal record"}
        for place, problem in said.items():
            if place in before:
                assert problem.backend == before[place].parts[-4]
        repaired = await engine.verify(repair=True)
        assert [p.repaired for p in repaired.problems] == [True] * len(expected)
        assert (await engine.verify()).exit_status == 0
        for name in "ab":
            assert await read(engine, f"acme/model/{name}") == noise(name, 20_000)


@pytest.mark.parametrize("name", DAMAGE)
async def test_every_copy(stored: Path, name: str) -> None:
    """Every copy of every record; one of each record at a time."""
    before = all_files(stored)
    damage, problem = DAMAGE[name]
    there = copies(stored)
    for copy in range(3):
        damaged = [place for place in there if place[1] == copy]
        for place in damaged:
            damage(there[place])
        await check_mended(stored, dict.fromkeys(damaged, problem))
    assert all_files(stored) == before


async def test_copies_that_change_places(stored: Path) -> None:
    before = all_files(stored)
    there = copies(stored)
    last = max(seq for seq, _ in there)
    for copy in range(3):
        swap_shards(there[1, copy], there[last, copy])
        await check_mended(stored, {(1, copy): "damaged copy", (last, copy): "damaged copy"})
    assert all_files(stored) == before


async def test_copies_of_another_store(stored: Path, tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "other", "4+2") as other:
        await add(other, tmp_path / "a")
    before = all_files(stored)
    there, foreign = copies(stored), copies(tmp_path / "other")
    for place in [place for place in there if place in foreign and place[1] == 1]:
        foreign_shard(there[place], foreign[place])
        await check_mended(stored, {place: "damaged copy"})
    assert all_files(stored) == before


async def test_all_copies_but_one(stored: Path) -> None:
    before = all_files(stored)
    there = copies(stored)
    expected = {}
    for (seq, copy), path in there.items():
        if copy != seq % 3:
            lose(path)
            expected[seq, copy] = "missing copy"
    await check_mended(stored, expected)
    assert all_files(stored) == before


async def test_all_copies_of_a_record(stored: Path) -> None:
    """What it said is written anew, by another record."""
    there = copies(stored)
    for copy in range(3):
        lose(there[2, copy])
    said = "no sound copy is left on a backend that is up"
    await check_mended(stored, {(2, copy): said for copy in range(3)})
