"""What the index says of chunks, held against the packs; what refs reach, against what is left."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import JournalEntry, PackDeleted
from modelfloat.cas.index.index import Index
from modelfloat.cas.index.records import Location
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.ids import ChunkId, ObjectId, PackNumber
from modelfloat.opening import open_store
from modelfloat.tests.support.damage import Pack, lose, packs_of
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store, read

Row = tuple[ChunkId, Location]
Objects = Mapping[ObjectId, bytes]


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.fixture
async def stored(tmp_path: Path) -> Path:
    """A store of 2+1 with a file of a few chunks."""
    (tmp_path / "f").write_bytes(noise("f", 3_000_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f")
    return tmp_path / "store"


def rows(index: Index) -> set[Row]:
    return {(id_, place) for id_, places in index.each_chunk() for place in places}


def take_away(index: Index, found: list[Row]) -> None:
    pack = found[0][1].pack
    index.change_rows([], [row for row in found if row[1].pack == pack][:2])


def change(index: Index, found: list[Row]) -> None:
    id_, place = found[0]
    index.change_rows([(id_, replace(place, offset=place.offset + 1))], [(id_, place)])


def put_another(index: Index, found: list[Row]) -> None:
    """A row too many, of a chunk that the pack does not have."""
    index.change_rows([(ChunkId(bytes(32)), found[0][1])], [])


def put_stray(index: Index, found: list[Row]) -> None:
    """A row of a pack that is not there."""
    index.change_rows([(found[0][0], replace(found[0][1], pack=PackNumber(77)))], [])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (take_away, "2 missing"),
        (change, "1 missing, 1 wrong"),
        (put_another, "1 wrong"),
        (put_stray, "1 in packs that are not there"),
    ],
)
async def test_rows_are_mended(
    stored: Path, damage: Callable[[Index, list[Row]], None], said: str
) -> None:
    async with open_store(str(stored)) as store:
        before = rows(store.index)
        damage(store.index, sorted(before, key=lambda row: row[0]))
        damaged = rows(store.index)
        assert damaged != before
        found = await store.verify()
        assert found.exit_status in (3, 4)
        (problem,) = [p for p in found.problems if p.problem.startswith("places")]
        assert (problem.kind, problem.repaired) == ("index", False)
        assert problem.problem.endswith(said)
        assert rows(store.index) == damaged
        report = await store.verify(repair=True)
        assert (report.exit_status, report.lost_files) == (3, [])
        assert [(p.kind, p.repaired) for p in report.problems] == [("index", True)]
        assert rows(store.index) == before
        assert (await store.verify()).exit_status == 0
        assert await read(store, "acme/model/f") == noise("f", 3_000_000)


async def test_objects_come_back_into_the_mirror(stored: Path) -> None:
    async with open_store(str(stored)) as store:
        head = store.index.refs()[0].commit
        tree = store.objects.commit(head).tree
        bodies = {id_: store.index.object(id_) for id_ in (head, tree)}
        store.index.drop_objects([tree])
        store.index.put_objects({head: b"garbled"})
        found = await store.verify()
        assert (found.exit_status, found.lost_files) == (3, [])
        assert {p.kind for p in found.problems} == {"index"}
        report = await store.verify(repair=True)
        assert all(p.repaired for p in report.problems)
        assert {id_: store.index.object(id_) for id_ in bodies} == bodies
        assert (await store.verify()).exit_status == 0


async def add_version(store: Store, folder: Path, version: int) -> Pack:
    """Add `changing` anew beside `same`; the pack with its data."""
    before = {pack.id for pack in packs_of(Path(store.path))}
    (folder / "changing").write_bytes(noise(f"version {version}", 1_500_000))
    await add(store, folder)
    return next(p for p in packs_of(Path(store.path)) if p.k > 1 and p.id not in before)


async def test_lost_files_of_every_commit_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "same").write_bytes(noise("same", 10_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        packs, commits = [], []
        for version in range(3):
            packs.append(await add_version(store, folder, version))
            commits.append(store.refs.resolve(store.refs.repositories()[0]).hex()[:12])
        for index in (0, 1):
            lose(packs[1].shards[index])
        report = await store.verify()
        assert report.exit_status == 4
        assert report.lost_files == [f"acme/model@{commits[1]}/changing"]
        for index in (0, 1):
            lose(packs[2].shards[index])
        report = await store.verify(repair=True)
        assert report.lost_files == [
            "acme/model@main/changing",
            f"acme/model@{commits[1]}/changing",
        ]
        assert len(report.lost) == 2
        assert await read(store, "acme/model/deep/same") == noise("same", 10_000)
        assert await read(store, f"acme/model@{commits[0]}/changing") == noise(
            "version 0", 1_500_000
        )


async def test_what_a_ref_needed_is_unneeded_without_it(tmp_path: Path) -> None:
    """The commit went with its branch: its lost pack is no lost data any more, and gc takes it."""
    (tmp_path / "f").write_bytes(noise("f", 1_500_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "f")
        pack = next(p for p in packs_of(tmp_path / "store") if p.k > 1)
        lose(pack.shards[0])
        lose(pack.shards[1])
        assert (await store.verify()).exit_status == 4
        await store.remove(parse_address("acme/model"))
        report = await store.verify()
        assert (report.exit_status, report.unneeded) == (0, [pack.id])
        await store.gc(grace=0)
        report = await store.verify()
        assert (report.exit_status, report.unneeded, report.packs) == (0, [], 0)


async def test_a_pack_of_which_the_index_has_half_is_being_deleted(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows go before its record; who dies in between leaves no damage."""
    take = Index._take

    def die(self: Index, txn: object, entries: Sequence[JournalEntry], objects: Objects) -> None:
        if any(isinstance(entry, PackDeleted) for entry in entries):
            raise KilledError
        take(self, txn, entries, objects)

    async with open_store(str(stored)) as store:
        await store.remove(parse_address("acme/model"))
        monkeypatch.setattr(Index, "_take", die)
        with pytest.raises(ExceptionGroup) as died:
            await store.gc(grace=0)
        assert died.group_contains(KilledError)
        monkeypatch.setattr(Index, "_take", take)
    async with open_store(str(stored)) as store:
        assert list(store.index.packs())
        assert not rows(store.index)
        report = await store.verify()
        assert (report.exit_status, report.problems) == (0, [])
        await store.gc(grace=0)
        assert not list(store.index.packs())
        assert (await store.verify()).exit_status == 0
