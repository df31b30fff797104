"""Index formats from 2 on: brought up from 1, the log of refs, deleted packs, all chunks."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest

from modelfloat.cas.formats.chunktable import PackedChunk
from modelfloat.cas.formats.journal import NO_ID, PackDeleted, PackStored, RefChanged, RefKind
from modelfloat.cas.index.environment import translated
from modelfloat.cas.index.index import Index
from modelfloat.errors import ModelFloatError
from modelfloat.ids import ChunkId, ObjectId, PackId
from modelfloat.tests.support import samples

NEW = (b"reflog", b"sources", b"deleted", b"lost", b"gaps", b"sums")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index.create(str(tmp_path / "index"), samples.STORE)
    yield made
    made.close()


def change(label: str, time_ns: int, ref: str = "main") -> RefChanged:
    none = ObjectId(NO_ID)
    return RefChanged(
        RefKind.BRANCH, "acme", "größe", ref, NO_ID, none, samples.id_of(label), time_ns
    )


def pack(number: int) -> PackStored:
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    return replace(stored, pack=PackId(number.to_bytes(16)))


def apply(index: Index, seq: int, *entries: Any) -> None:
    index.apply(replace(samples.record(), entries=entries, seq=seq, digest=bytes(32)), {})


def make_format_1(path: Path) -> None:
    """An index as the first release made it, with one change applied."""
    index = Index.create(str(path), samples.STORE)
    apply(index, 1, change("c1", 5))
    index.close()
    with lmdb.open(str(path), max_dbs=16, map_size=1 << 30) as env:
        for name in NEW:
            db = env.open_db(name)
            with env.begin(write=True) as txn:
                txn.drop(db)
        with env.begin(write=True, db=env.open_db(b"meta")) as txn:
            txn.put(b"format", b"1")


def names_in(path: Path) -> set[bytes]:
    with (
        lmdb.open(str(path), readonly=True, lock=False, max_dbs=16) as env,
        env.begin() as txn,
        txn.cursor() as cursor,
    ):
        return set(cursor.iternext(values=False))


def test_format_1_is_brought_up_to_date(tmp_path: Path) -> None:
    make_format_1(tmp_path / "index")
    assert not names_in(tmp_path / "index") & set(NEW)
    index = Index.open(str(tmp_path / "index"))
    assert [head.commit for head in index.refs()] == [samples.id_of("c1")]
    assert list(index.reflog()) == []
    apply(index, 2, change("c2", 6, "other"))
    assert list(index.reflog()) == [change("c2", 6, "other")]
    index.close()
    assert names_in(tmp_path / "index") >= set(NEW)
    index = Index.open(str(tmp_path / "index"))
    assert len(list(index.reflog())) == 1
    index.close()


@pytest.mark.parametrize(
    "refusal",
    [
        lmdb.ReadonlyError("Permission denied"),
        lmdb.DiskError("mdb_txn_commit: No space left on device"),
        lmdb.Error("mdb_txn_commit: Input/output error"),
    ],
    ids=["denied", "full", "taken in part"],
)
def test_format_1_is_read_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: lmdb.Error
) -> None:
    make_format_1(tmp_path / "index")
    real = lmdb.open

    def opened(path: str, **options: Any) -> lmdb.Environment:
        if options["readonly"]:
            return real(path, **options)
        raise refusal

    monkeypatch.setattr(lmdb, "open", opened)
    index = Index.open(str(tmp_path / "index"))
    assert [head.commit for head in index.refs()] == [samples.id_of("c1")]
    assert list(index.reflog()) == []
    with pytest.raises(ModelFloatError, match=f"is read-only: {refusal}"):
        apply(index, 2, change("c2", 6))
    index.close()
    assert not names_in(tmp_path / "index") & set(NEW)


def test_what_a_disk_takes_in_part_is_a_matter_of_room() -> None:
    for error in (lmdb.DiskError("full"), lmdb.Error("mdb_txn_commit: Input/output error")):
        assert "make room on its disk" in str(translated("/index", error))
    assert "rebuild-index" in str(translated("/index", lmdb.CorruptedError("MDB_CORRUPTED")))


def test_the_reflog_has_every_change_by_time(index: Index) -> None:
    changes = [change(f"c{i}", 100 * i, f"r{i}") for i in range(25)]
    apply(index, 1, *reversed(changes))
    assert list(index.reflog(batch=4)) == changes
    assert list(index.reflog(since_ns=1000, batch=4)) == changes[10:]
    assert list(index.reflog(since_ns=2401)) == []
    apply(index, 2, change("old", -7, "r-7"))
    assert change("old", -7, "r-7") in list(index.reflog())[:2]


def test_a_deleted_pack_stays_deleted(index: Index) -> None:
    apply(index, 1, PackDeleted(pack(1).pack))
    apply(index, 2, pack(1))
    assert list(index.packs()) == []
    assert list(index.each_chunk()) == []


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_many_packs_are_deleted_by_one_record(
    index: Index, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelfloat.cas.index.index.PASS", batch)
    packs = [pack(i) for i in range(9)]
    apply(index, 1, *packs)
    apply(index, 2, *(PackDeleted(p.pack) for p in packs[1:8]), PackDeleted(PackId(b"?" * 16)))
    assert {p.id for p in index.packs()} == {packs[0].pack, packs[8].pack}
    left = {place.pack for _, places in index.each_chunk() for place in places}
    assert left == {p.number for p in index.packs()}
    assert all(len(places) == 2 for _, places in index.each_chunk())


@pytest.mark.parametrize("batch", [1, 2, 5, 36, 1000])
def test_each_chunk_comes_once_with_all_its_places(index: Index, batch: int) -> None:
    apply(index, 1, *(pack(i) for i in range(3)))
    found = dict(index.each_chunk(batch))
    assert list(found) == sorted(chunk.id for chunk in samples.chunks())
    assert [index.locate([id_])[0] for id_ in found] == list(found.values())
    assert {len(places) for places in found.values()} == {3}


def test_rows_may_go_while_all_are_read(index: Index) -> None:
    chunks = tuple(_chunk(i) for i in range(50))
    first = replace(pack(1), chunks=chunks, length=50, shard=64)
    second = replace(first, pack=PackId(b"2" * 16))
    apply(index, 1, first, second)
    seen = []
    for id_, places in index.each_chunk(3):
        seen.append(id_)
        assert places
        if len(seen) == 10:
            apply(index, 2, PackDeleted(first.pack))
    assert seen == sorted(chunk.id for chunk in chunks)


def _chunk(number: int) -> PackedChunk:
    return replace(
        samples.chunks()[0], id=ChunkId(samples.id_of(f"n{number}")), offset=number, stored=1, raw=1
    )
