"""Which small packs gc merges: where it pays, and never for ever."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.gc import merging
from modelfloat.cas.gc.collected import GcReport
from modelfloat.cas.gc.merging import MANY, Full, Small, worth_merging
from modelfloat.cas.gc.selection import SMALL
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files, weights

FULL = Full(64 << 20, 16_384)


def small(*sizes: int, chunks: int = 1) -> list[Small]:
    return [Small(row, size, chunks) for row, size in enumerate(sizes)]


def rows(chosen: Sequence[Small]) -> set[int]:
    return {pack.row for pack in chosen}


def test_few_that_fill_no_pack_are_left() -> None:
    assert worth_merging([], FULL) == []
    assert worth_merging(small(1), FULL) == []
    assert worth_merging(small(*[1000] * (MANY - 1)), FULL) == []


def test_many_are_merged_and_so_are_few_that_fill_a_pack() -> None:
    assert rows(worth_merging(small(*[1000] * MANY), FULL)) == set(range(MANY))
    assert rows(worth_merging(small(*[15 << 20] * 5), FULL)) == set(range(5))
    assert rows(worth_merging(small(9, 9, 9, 9, chunks=4096), FULL)) == set(range(4))


def test_what_is_longer_than_all_others_together_is_not_copied_for_their_sake() -> None:
    assert rows(worth_merging(small(10 << 20, *[1000] * MANY), FULL)) == set(range(1, MANY + 1))
    assert worth_merging(small(10 << 20, *[1000] * (MANY - 1)), FULL) == []


@given(st.lists(st.integers(1, SMALL), max_size=60), st.integers(1, 2000))
def test_merging_makes_fewer_packs_and_then_no_other(sizes: list[int], chunks: int) -> None:
    """What is merged becomes full packs and a rest: nothing is left to be merged then."""
    packs = small(*sizes, chunks=chunks)
    chosen = worth_merging(packs, FULL)
    if chosen:
        made = max(-(-sum(p.size for p in chosen) // FULL.size), -(-chunks * len(chosen) // 16_384))
        assert made < len(chosen)
    rest = sum(pack.size for pack in chosen) % FULL.size
    left = [pack for pack in packs if pack not in chosen]
    left += [Small(-1, rest, 1)] if 0 < rest < SMALL else []
    if sum(pack.chunks for pack in left) < FULL.chunks:
        assert worth_merging(left, FULL) == []


@given(st.integers(1, 1 << 20))
def test_a_pack_a_day_is_not_copied_every_day(size: int) -> None:
    """Each day one more comes and gc runs: what is copied in all stays within a few times that."""
    packs: list[int] = []
    copied = 0
    for _ in range(400):
        packs.append(size)
        chosen = rows(worth_merging(small(*packs), FULL))
        merged = sum(packs[row] for row in chosen)
        copied += merged
        packs = [each for row, each in enumerate(packs) if row not in chosen]
        packs += [merged] if 0 < merged < SMALL else []
    assert copied <= 10 * 400 * size
    assert len(packs) < 3 * MANY


async def several(store: Store, path: Path, names: Sequence[str]) -> dict[str, bytes]:
    files = {name: weights(path / name, 60_000, name) for name in names}
    for name in names:
        await add(store, path / name, f"acme/{name}")
    return files


def done(report: GcReport) -> tuple[int, int, int, int]:
    return report.deleted, report.rewritten, report.merged, report.freed


async def test_small_packs_are_merged_when_there_are_many_and_once(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "s", "2+1") as store:
        files = await several(store, tmp_path, "abcdefg")
        before = shard_files(tmp_path / "s")
        assert done(await store.gc(grace=0)) == (0, 0, 0, 0)
        assert shard_files(tmp_path / "s") == before
        files |= await several(store, tmp_path, "h")
        planned = await store.gc(grace=0, dry_run=True)
        report = await store.gc(grace=0)
        assert report.merged == planned.merged == 2 * MANY  # data, and objects
        assert report.merged_size == planned.merged_size > 0
        assert report.freed == report.merged_size - report.written
        assert len(list(store.index.packs())) == 2
        assert done(await store.gc(grace=0)) == (0, 0, 0, 0)
        for name, data in files.items():
            assert await read(store, f"acme/{name}/{name}") == data
        assert (await store.verify()).exit_status == 0


async def test_what_is_left_of_rewritten_packs_counts_as_one_small_pack_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next collection would merge what this one has made."""
    monkeypatch.setattr(merging, "MANY", 3)
    names = (f"f{number}" for number in count())
    async with fresh_store(tmp_path / "s", "2+1") as store:
        both = tmp_path / "both"
        both.mkdir()
        for name in ("one", "two", "three"):
            weights(both / name, 400_000, name)
        await add(store, both, "acme/both")
        await add(store, both / "one", "acme/one")
        await several(store, tmp_path, [next(names), next(names)])
        await store.remove(parse_address("acme/both"))
        report = await store.gc(grace=0)
        assert report.rewritten >= 1
        assert report.merged >= 2
        assert done(await store.gc(grace=0)) == (0, 0, 0, 0)
