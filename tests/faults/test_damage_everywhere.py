"""Every kind of damage at every position of every kind of pack: served, found, mended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import pytest
import trio

from modelfloat.cas.store import Store
from modelfloat.cas.verify.report import Problem, VerifyReport
from modelfloat.creating import BackendSpec
from modelfloat.errors import DamageError, DataLostError
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import (
    TO_ONE,
    Pack,
    all_files,
    flip_bit,
    flip_payload,
    foreign_shard,
    lose,
    packs_of,
    swap_shards,
)
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, forget_chunks, fresh_store, read

SCHEMES = ["4+2", "2+1", "8+1"]
KINDS = ["split", "replicated", "objects"]


@dataclass(frozen=True)
class Made:
    """A store with a split pack, a replicated one, and packs of objects; and its files."""

    path: Path
    files: dict[str, bytes]
    scheme: str

    def pack(self, kind: str) -> Pack:
        """The pack of that kind; of several packs of objects the first."""
        packs = packs_of(self.path)
        if kind == "split":
            return next(p for p in packs if p.k > 1)
        copies = [p for p in packs if p.k == 1]
        sizes = {p.id: p.shards[0].stat().st_size for p in copies}
        # The small file's bytes are far more than what a manifest or a tree takes.
        data = max(copies, key=lambda p: sizes[p.id])
        return data if kind == "replicated" else next(p for p in copies if p.id != data.id)

    async def read_all(self, store: Store) -> None:
        """Every file reads back identical, past all caches."""
        forget_chunks(store)
        for name, data in self.files.items():
            assert await read(store, f"acme/{name}/{name}") == data


async def make(folder: Path, scheme: str, label: str) -> Made:
    """A store in `folder`, with a large and a small file."""
    files = {
        "large": noise(f"{label} large", 1_300_000),
        "small": noise(f"{label} small", 40_000),
    }
    async with fresh_store(folder / label, scheme, backends_of(scheme)) as store:
        for name, data in files.items():
            (folder / name).write_bytes(data)
            await add(store, folder / name, f"acme/{name}")
    return Made(folder / label, files, scheme)


def backends_of(scheme: str) -> tuple[BackendSpec, ...]:
    """One directory for all nine shards of 8+1, as `init` without options makes it."""
    return (BackendSpec("d0", "backends/d0"),) if scheme == "8+1" else ()


@pytest.fixture(scope="module", params=SCHEMES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A store of each scheme, made once: every test leaves it as it was."""
    return trio.run(make, tmp_path_factory.mktemp("made"), request.param, "store")


@pytest.fixture(scope="module")
def other(made: Made) -> Made:
    """Another store of the same scheme with other files."""
    return trio.run(make, made.path.parent, made.scheme, "other")


def only(report: VerifyReport, pack: Pack) -> list[Problem]:
    """The problems, all of which are shards of that pack."""
    assert {(p.kind, p.pack) for p in report.problems} == {("shard", pack.id)}
    return report.problems


Expected = dict[tuple[str, int], str]
"""What is to be said of each damaged shard, by pack and index."""


async def check_mended(made: Made, packs: Sequence[Pack], expected: Expected) -> None:
    """Damaged shards are served, found under a fitting name, and mended."""
    holders = {(p.id, i): path.parts[-5] for p in packs for i, path in p.shards.items()}
    async with open_store(str(made.path)) as store:
        await made.read_all(store)
        found = await store.verify()
        assert found.exit_status == 3
        said = {(p.pack, p.index): p for p in found.problems}
        assert set(said) == set(expected)
        assert len(found.problems) == len(expected)
        for shard, problem in said.items():
            assert problem.problem.startswith(expected[shard]), problem
            assert (problem.kind, problem.backend) == ("shard", holders[shard])
            assert not problem.repaired
        mended = await store.verify(repair=True)
        assert {(p.pack, p.index) for p in mended.problems if p.repaired} == set(expected)
        assert (mended.exit_status, len(mended.problems)) == (3, len(expected))
        assert (await store.verify()).exit_status == 0


def positions(made: Made) -> Iterator[list[tuple[Pack, int]]]:
    """Every position of a shard, those of packs of different kinds together."""
    packs = [made.pack(kind) for kind in KINDS]
    for index in range(max(len(pack.shards) for pack in packs)):
        yield [(pack, index) for pack in packs if index < len(pack.shards)]


@pytest.mark.parametrize("name", TO_ONE)
async def test_one_shard(made: Made, name: str) -> None:
    before = all_files(made.path)
    damage, problem = TO_ONE[name]
    for damaged in positions(made):
        for pack, index in damaged:
            damage(pack.shards[index])
        expected = {(pack.id, index): problem for pack, index in damaged}
        await check_mended(made, [pack for pack, _ in damaged], expected)
    assert all_files(made.path) == before


@pytest.mark.parametrize("whose", ["another pack", "another store", "the same pack"])
async def test_another_shard_in_its_place(made: Made, other: Made, whose: str) -> None:
    before = all_files(made.path)
    for damaged in positions(made):
        expected = {}
        for kind, (pack, index) in zip(KINDS, damaged, strict=False):
            source, problem = stranger(made, other, kind, index, whose)
            foreign_shard(pack.shards[index], source)
            expected[pack.id, index] = problem
        await check_mended(made, [pack for pack, _ in damaged], expected)
    assert all_files(made.path) == before


def stranger(made: Made, other: Made, kind: str, index: int, whose: str) -> tuple[Path, str]:
    """A shard that does not belong in a place, and what is said when it lies there."""
    pack = made.pack(kind)
    if whose == "another store":
        return other.pack(kind).shards[index], "a shard of another store lies"
    if whose == "the same pack":
        following = (index + 1) % len(pack.shards)
        return pack.shards[following], misplaced(pack, following)
    shards = made.pack(KINDS[(KINDS.index(kind) + 1) % len(KINDS)]).shards
    # One that is not damaged itself in this round.
    return shards[(index + 1) % len(shards)], "a shard of another pack lies"


def misplaced(pack: Pack, index: int) -> str:
    """What is said where another shard of a pack lies; of copies only the footers differ."""
    name = f"shard {index} of the same pack"
    return f"{name} lies" if pack.k > 1 else f"footer of {name}"


async def test_any_two_shards(made: Made) -> None:
    """As many as parity replaces: two that were swapped; one lost and one damaged."""
    if made.scheme != "4+2":
        pytest.skip("parity replaces one shard")
    before = all_files(made.path)
    packs = [made.pack(kind) for kind in KINDS]
    for one, two in combinations(range(6), 2):
        damaged = [pack for pack in packs if two < len(pack.shards)]
        for pack in damaged:
            swap_shards(pack.shards[one], pack.shards[two])
        expected = {(pack.id, one): misplaced(pack, two) for pack in damaged}
        expected |= {(pack.id, two): misplaced(pack, one) for pack in damaged}
        await check_mended(made, damaged, expected)
        for pack in damaged:
            lose(pack.shards[one])
            flip_payload(pack.shards[two])
        expected = {(pack.id, one): "missing" for pack in damaged}
        expected |= {(pack.id, two): "damaged in block" for pack in damaged}
        await check_mended(made, damaged, expected)
    assert all_files(made.path) == before


async def test_the_footers_of_all_copies_are_each_others(tmp_path: Path) -> None:
    """Two copies, swapped: no footer is in its place, and each still tells what the pack is."""
    made = await make(tmp_path, "2+1", "store")
    pack = made.pack("replicated")
    swap_shards(pack.shards[0], pack.shards[1])
    expected = {(pack.id, 0): misplaced(pack, 1), (pack.id, 1): misplaced(pack, 0)}
    await check_mended(made, [pack], expected)


async def test_shards_swapped_between_packs(made: Made) -> None:
    before = all_files(made.path)
    split, copies = made.pack("split"), made.pack("replicated")
    for index in copies.shards:
        swap_shards(split.shards[index], copies.shards[index])
        async with open_store(str(made.path)) as store:
            await made.read_all(store)
            found = await store.verify()
            assert {(p.pack, p.index) for p in found.problems} == {
                (split.id, index),
                (copies.id, index),
            }
            assert all(p.repaired for p in (await store.verify(repair=True)).problems)
            assert (await store.verify()).exit_status == 0
    assert all_files(made.path) == before


@pytest.mark.parametrize("damage", [lose, flip_payload])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_more_than_parity_replaces(
    tmp_path: Path, scheme: str, damage: Callable[[Path], None]
) -> None:
    """The lost file is named, nothing else is touched, and adding it again heals all."""
    files = {"lost": noise("lost", 3_000_000), "kept": noise("kept", 3_000_000)}
    async with fresh_store(tmp_path / "store", scheme, backends_of(scheme)) as store:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            await add(store, tmp_path / name, f"acme/{name}")
            if name == "lost":
                (pack,) = [p for p in packs_of(tmp_path / "store") if p.k > 1]
    for index in range(pack.m + 1):
        damage(pack.shards[index])
    before = all_files(tmp_path / "store")
    async with open_store(str(tmp_path / "store")) as store:
        for repair in (False, True):
            report = await store.verify(repair=repair)
            assert (report.exit_status, report.lost) == (4, [pack.id])
            assert report.lost_files == ["acme/lost@main/lost"]
            assert len(only(report, pack)) == pack.m + 1
            assert await read(store, "acme/kept/kept") == files["kept"]
        with pytest.raises(DataLostError, match="if it finds files lost, add those again"):
            await read(store, "acme/lost/lost")
        after = {p: d for p, d in all_files(tmp_path / "store").items() if p in before}
        assert after == before
        assert (await add(store, tmp_path / "lost", "acme/lost")).new > 0
        assert await read(store, "acme/lost/lost") == files["lost"]
        healed = await store.verify()
        assert (healed.exit_status, healed.lost, healed.problems) == (0, [], [])
        assert healed.unneeded == [pack.id]


async def test_a_pack_that_is_lost_in_parts_gives_back_the_others(tmp_path: Path) -> None:
    """Three shards are damaged in one block each: all chunks elsewhere are saved."""
    files = {name: noise(name, 2_000_000) for name in "abcdef"}
    folder = tmp_path / "source"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    async with fresh_store(tmp_path / "store", "4+2") as store:
        await add(store, folder)
    pack = next(p for p in packs_of(tmp_path / "store") if p.k > 1)
    for index in range(3):
        flip_bit(pack.shards[index], 100)
    async with open_store(str(tmp_path / "store")) as store:
        lost = await store.verify()
        assert lost.exit_status == 4
        assert 0 < len(lost.lost_files) < len(files)
        repaired = await store.verify(repair=True)
        assert repaired.lost_files == lost.lost_files
        assert repaired.rescued > 0
        for path in pack.shards.values():
            path.unlink()
        lost_names = {name.rpartition("/")[2] for name in lost.lost_files}
        for name, data in files.items():
            if name in lost_names:
                with pytest.raises(DamageError):
                    await read(store, f"acme/model/{name}")
            else:
                assert await read(store, f"acme/model/{name}") == data
        await store.verify()
        await add(store, folder)
        assert (await store.verify()).exit_status == 0


async def test_lost_objects_are_stored_again_from_the_index(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(noise("f", 100_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f")
    sizes = {p.id: p.shards[0].stat().st_size for p in packs_of(tmp_path / "store")}
    pack = min(packs_of(tmp_path / "store"), key=lambda p: sizes[p.id])
    for path in pack.shards.values():
        path.unlink()
    async with open_store(str(tmp_path / "store")) as store:
        found = await store.verify()
        assert (found.exit_status, found.lost) == (3, [])
        repaired = await store.verify(repair=True)
        assert (repaired.exit_status, repaired.unneeded) == (3, [pack.id])
        assert repaired.rescued >= 3
        clean = await store.verify()
        assert (clean.exit_status, clean.unneeded) == (0, [pack.id])
        assert await read(store, "acme/model/f") == noise("f", 100_000)
