"""The index: journal records applied, chunks located, refs with one or several heads."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.formats.journal import (
    NO_ID,
    PackDeleted,
    PackStored,
    Record,
    RefChanged,
    RefKind,
    ShardPlaced,
)
from modelfloat.cas.index.checknotes import Check
from modelfloat.cas.index.index import Index
from modelfloat.cas.index.records import ShardState
from modelfloat.cas.refnames import RepoName
from modelfloat.errors import IndexDamagedError
from modelfloat.ids import BackendId, ObjectId, PackId
from modelfloat.tests.support import samples

REPO = RepoName("acme", "llama")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    made = Index.create(str(tmp_path / "index"), samples.STORE)
    yield made
    made.close()


def pack() -> PackStored:
    stored = samples.record().entries[0]
    assert isinstance(stored, PackStored)
    return stored


def record(*entries: object, seq: int = 1) -> Record:
    return replace(samples.record(), entries=entries, seq=seq, digest=bytes(32))


def change(old: RefChanged | None, label: str) -> RefChanged:
    previous = NO_ID if old is None else old.id
    commit = ObjectId(NO_ID) if old is None else old.new
    return RefChanged(
        RefKind.BRANCH, "acme", "llama", "main", previous, commit, samples.id_of(label), 1
    )


def test_a_pack_is_found_by_its_chunks(index: Index) -> None:
    index.apply(record(pack()), {})
    chunks = samples.chunks()
    places = index.locate([chunks[1].id, samples.id_of("nobody")])  # type: ignore[list-item]
    assert [len(p) for p in places] == [1, 0]
    place = places[0][0]
    assert (place.slot, place.offset, place.stored, place.raw) == (1, 9000, 5000, 9000)
    found = index.pack(place.pack)
    assert found is not None
    assert found.id == samples.PACK
    assert found.states[5] is ShardState.MISSING
    assert index.pack_of_id(samples.PACK) == found
    assert found.raw == sum(c.raw for c in chunks)


def test_a_chunk_has_as_many_places_as_packs(index: Index) -> None:
    other = replace(pack(), pack=PackId(b"o" * 16))
    index.apply(record(pack(), other), {})
    assert len(index.locate([samples.chunks()[0].id])[0]) == 2
    index.apply(record(PackDeleted(samples.PACK), seq=2), {})
    (place,) = index.locate([samples.chunks()[0].id])[0]
    left = index.pack(place.pack)
    assert left is not None
    assert left.id == other.pack
    assert index.pack_of_id(samples.PACK) is None


def test_applying_twice_changes_nothing(index: Index) -> None:
    once = record(pack(), change(None, "c1"))
    index.apply(once, {})
    index.apply(once, {})
    assert len(index.locate([samples.chunks()[0].id])[0]) == 1
    assert len(list(index.packs())) == 1
    assert len(index.refs()) == 1
    assert index.writer(samples.WRITER) == (1, bytes(32))


def test_a_placed_shard_is_good_again(index: Index) -> None:
    index.apply(record(pack(), ShardPlaced(samples.PACK, 5, BackendId(b"b" * 16))), {})
    found = index.pack_of_id(samples.PACK)
    assert found is not None
    assert found.backends[5] == b"b" * 16
    assert found.states == (ShardState.GOOD,) * 6


def test_a_ref_follows_its_changes(index: Index) -> None:
    first = change(None, "c1")
    second = change(first, "c2")
    index.apply(record(first), {})
    index.apply(record(second, seq=2), {})
    (head,) = index.ref(REPO, RefKind.BRANCH, "main")
    assert (head.commit, head.change) == (samples.id_of("c2"), second.id)
    assert index.refs(REPO) == [head]
    assert index.refs(RepoName("acme", "lla")) == []


def test_concurrent_changes_are_two_heads(index: Index) -> None:
    first = change(None, "c1")
    index.apply(record(first, change(first, "c2"), change(first, "c3")), {})
    commits = {head.commit for head in index.ref(REPO, RefKind.BRANCH, "main")}
    assert commits == {samples.id_of("c2"), samples.id_of("c3")}


def test_a_deleted_ref_is_gone(index: Index) -> None:
    first = change(None, "c1")
    index.apply(record(first, replace(change(first, "x"), new=ObjectId(NO_ID))), {})
    assert index.refs() == []


def test_check_results_are_remembered(index: Index) -> None:
    index.apply(record(pack()), {})
    (found,) = index.packs()
    index.note_checks([Check(found.number, (ShardState.DAMAGED,) * 6, 99)])
    (found,) = index.packs()
    assert (found.checked_ns, set(found.states)) == (99, {ShardState.DAMAGED})


def test_packs_come_in_batches(index: Index) -> None:
    many = [replace(pack(), pack=PackId(bytes([i]) * 16)) for i in range(25)]
    index.apply(record(*many), {})
    assert [p.id for p in index.packs(batch=10)] == [p.pack for p in many]


def test_one_environment_per_process(index: Index, tmp_path: Path) -> None:
    again = Index.open(str(tmp_path / "index"))
    assert again is index
    again.close()
    assert index.store == samples.STORE


def test_no_index_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(IndexDamagedError, match="run `modelfloat rebuild-index`"):
        Index.open(str(tmp_path))
