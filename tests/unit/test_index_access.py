"""The index under changes that come late, and where it can be read only."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import lmdb
import pytest

from modelfloat.cas.formats.journal import NO_ID, PackStored, RefChanged, RefKind, ShardPlaced
from modelfloat.cas.index.index import Index
from modelfloat.cas.refnames import RepoName
from modelfloat.errors import FormatError, IndexDamagedError, ModelFloatError
from modelfloat.ids import BackendId, ObjectId
from modelfloat.tests.support import samples

REPO = RepoName("acme", "llama")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index.create(str(tmp_path / "index"), samples.STORE)
    yield made
    made.close()


def change(old: RefChanged | None, label: str) -> RefChanged:
    previous = NO_ID if old is None else old.id
    commit = ObjectId(NO_ID) if old is None else old.new
    return RefChanged(
        RefKind.BRANCH, "acme", "llama", "main", previous, commit, samples.id_of(label), 1
    )


def apply(index: Index, seq: int, *entries: Any) -> None:
    index.apply(replace(samples.record(), entries=entries, seq=seq, digest=bytes(32)), {})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 2, 1), (2, 0, 1)])
def test_changes_in_any_order_leave_one_head(index: Index, order: tuple[int, ...]) -> None:
    first = change(None, "c1")
    second = change(first, "c2")
    changes = [first, second, change(second, "c3")]
    for seq, number in enumerate(order, 1):
        apply(index, seq, changes[number])
    apply(index, 4, first)
    (head,) = index.ref(REPO, RefKind.BRANCH, "main")
    assert (head.commit, head.change) == (samples.id_of("c3"), changes[2].id)


def test_a_deleted_ref_stays_gone_when_its_change_comes_late(index: Index) -> None:
    first = change(None, "c1")
    apply(index, 1, replace(change(first, "x"), new=ObjectId(NO_ID)))
    apply(index, 2, first)
    assert index.refs() == []


def test_places_are_put_back(index: Index) -> None:
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    apply(index, 1, stored)
    before = index.locate([chunk.id for chunk in stored.chunks])
    index.change_rows([(c.id, p[0]) for c, p in zip(stored.chunks, before, strict=True)], [])
    assert index.locate([chunk.id for chunk in stored.chunks]) == before
    index.change_rows([(stored.chunks[0].id, replace(before[0][0], offset=5))], [])
    assert len(index.locate([stored.chunks[0].id])[0]) == 2


def test_a_shard_that_a_pack_has_not_is_refused(index: Index) -> None:
    stored = samples.record().entries[0]
    apply(index, 1, stored)
    with pytest.raises(FormatError, match="places shard 6"):
        apply(index, 2, ShardPlaced(samples.PACK, 6, BackendId(b"b" * 16)))


REFUSALS = {
    "denied": lambda path: lmdb.ReadonlyError(f"{path}: Permission denied"),
    "read-only filesystem": lambda path: lmdb.Error(f"{path}: Read-only file system"),
    "damaged": lambda path: lmdb.InvalidError(f"{path}: MDB_INVALID: not an LMDB file"),
}


def refuse_writing(patched: pytest.MonkeyPatch, why: str) -> None:
    """Let LMDB refuse every opening but one for reading without a lock."""
    real = lmdb.open

    def opened(path: str, **options: Any) -> lmdb.Environment:
        if options["readonly"] and not options["lock"]:
            return real(path, **options)
        raise REFUSALS[why](path)

    patched.setattr(lmdb, "open", opened)


@pytest.mark.parametrize("why", ["denied", "read-only filesystem"])
def test_what_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    apply(index, 1, change(None, "c1"))
    index.close()
    refuse_writing(monkeypatch, why)
    index = Index.open(str(tmp_path / "index"))
    assert index.store == samples.STORE
    assert [head.commit for head in index.refs()] == [samples.id_of("c1")]
    with pytest.raises(ModelFloatError, match="is read-only: ") as raised:
        apply(index, 2, change(None, "c2"))
    assert str(raised.value).count(str(tmp_path)) == 1
    index.close()


def test_a_damaged_index_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Index.create(str(tmp_path / "index"), samples.STORE).close()
    refuse_writing(monkeypatch, "damaged")
    with pytest.raises(IndexDamagedError, match="cannot be used: MDB_INVALID") as raised:
        Index.open(str(tmp_path / "index"))
    assert str(raised.value).count(str(tmp_path)) == 1


def test_a_read_that_nobody_waits_for_keeps_the_environment(tmp_path: Path) -> None:
    """What it reads would be taken from under it, and the process would end."""
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    with index._reading("meta") as txn:
        index.close()
        assert txn.get(b"store") == samples.STORE
        again = Index.open(str(tmp_path / "index"))
        assert again is index
        again.close()
        assert txn.get(b"store") == samples.STORE
    with pytest.raises(IndexDamagedError, match="closed"):
        _ = index.store
    assert Index.open(str(tmp_path / "index")) is not index
