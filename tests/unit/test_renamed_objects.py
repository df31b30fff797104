"""Objects with other ids: each id is replaced, nothing else is; there and back changes nothing."""

from collections.abc import Callable

import pytest
from blake3 import blake3

from modelfloat.cas.chunking.regions import ElementType, Region
from modelfloat.cas.formats.chunkids import PLAIN, ChunkIds
from modelfloat.cas.formats.commit import Commit, decode_commit, encode_commit
from modelfloat.cas.formats.links import objects_of
from modelfloat.cas.formats.manifest import (
    PAGE_CHUNKS,
    ChunkRef,
    decode_manifest,
    encode_entries,
    encode_manifest,
)
from modelfloat.cas.formats.objects import ObjectType, object_type
from modelfloat.cas.formats.renaming import named, renamed
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import ChunkDamagedError
from modelfloat.ids import ChunkId, ObjectId
from modelfloat.tests.support.samples import id_of

KEYED = ChunkIds(bytes(range(32)))
SHA256 = bytes(range(100, 132))


def flipped(id_: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in id_)


def entries(count: int) -> bytes:
    return encode_entries([ChunkRef(ChunkId(id_of(f"{n}")), 1000 + n % 7) for n in range(count)])


def manifests(ids: ChunkIds, count: int, tensors: int) -> list[bytes]:
    size = sum(1000 + n % 7 for n in range(count))
    step = size // max(1, tensors)
    regions = [
        Region(n * step, step if n < tensors - 1 else size - n * step, ElementType.F32, f"t{n}" * 9)
        for n in range(tensors)
    ]
    table = {1: SHA256}
    return encode_manifest(size, blake3(b"x").digest(), entries(count), table, regions, ids)


def trees(ids: ChunkIds, count: int) -> list[bytes]:
    kinds = [EntryType.FILE, EntryType.DIRECTORY, EntryType.SYMLINK]
    return list(
        encode_tree(
            (
                Entry(f"{n:06}".encode(), kinds[n % 3], 0o644, n, n, id_of(f"{n}"))
                for n in range(count)
            ),
            ids,
        )
    )


COMMIT = Commit(
    ObjectId(id_of("tree")),
    (ObjectId(id_of("one")), ObjectId(id_of("two"))),
    5,
    60,
    "Ada",
    "a message",
    Scheme(8, 2),
)
OBJECTS: dict[str, Callable[[], list[bytes]]] = {
    "an empty file": lambda: manifests(PLAIN, 0, 0),
    "a manifest": lambda: manifests(PLAIN, 200, 0),
    "one with regions": lambda: manifests(PLAIN, 200, 40),
    "one with pages": lambda: manifests(PLAIN, 3 * PAGE_CHUNKS // 2, 0),
    "one with region pages": lambda: manifests(PLAIN, 200, 100_000),
    "one with both": lambda: manifests(PLAIN, 2 * PAGE_CHUNKS, 100_000),
    "a tree": lambda: trees(PLAIN, 50),
    "a tree index": lambda: trees(PLAIN, 9000),
    "a commit": lambda: [encode_commit(COMMIT)],
}


@pytest.mark.parametrize("what", OBJECTS)
def test_all_ids_change_and_change_back(what: str) -> None:
    for data in OBJECTS[what]():
        there = renamed(data, flipped)
        assert renamed(there, flipped) == data
        assert len(there) == len(data)
        assert set(objects_of(there)) == {flipped(id_) for id_ in objects_of(data)}
        assert named(there) == [flipped(id_) for id_ in named(data)]
        places = [at for at in range(len(data)) if data[at] != there[at]]
        assert len(places) == 32 * len(named(data))


@pytest.mark.parametrize("what", ["one with both", "a tree index"])
def test_objects_are_those_that_the_other_store_would_have_made(what: str) -> None:
    """Renamed children first, they have the ids that such a store gives them."""
    make = manifests if what == "one with both" else trees
    arguments = (2 * PAGE_CHUNKS, 100_000) if what == "one with both" else (9000,)
    theirs = make(KEYED, *arguments)
    known: dict[bytes, bytes] = {}
    for data, their in zip(make(PLAIN, *arguments), theirs, strict=True):
        assert renamed(data, lambda id_: known.get(id_, id_)) == their
        known[PLAIN.object(data)] = KEYED.object(their)


def test_what_an_object_says_besides_stays() -> None:
    there = decode_commit(renamed(encode_commit(COMMIT), flipped))
    assert (there.author, there.message, there.time_ns, there.zone) == ("Ada", "a message", 5, 60)
    assert there.erasure == Scheme(8, 2)
    (*_, data) = manifests(PLAIN, 200, 40)
    manifest = decode_manifest(renamed(data, flipped))
    assert manifest.sha256 == SHA256
    assert manifest.regions == decode_manifest(data).regions


def test_what_is_no_object_is_refused() -> None:
    page = manifests(PLAIN, 3 * PAGE_CHUNKS // 2, 0)[0]
    assert object_type(page) is ObjectType.MANIFEST_PAGE
    for data in (b"", b"no object at all", page[:-1]):
        with pytest.raises(ChunkDamagedError):
            renamed(data, flipped)
