"""Comparing repositories of very many files and tensors takes bounded memory."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import trio

from modelfloat.cas.chunking.regions import ElementType, Region
from modelfloat.cas.diff.diff import compare
from modelfloat.cas.formats.commit import Commit, encode_commit
from modelfloat.cas.formats.journal import NO_ID, Record, RefChanged, RefKind
from modelfloat.cas.formats.manifest import ChunkRef, encode_entries, encode_manifest
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.ids import ChunkId, ObjectId, WriterId
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store

SIZE = 1 << 20
MEMORY = 150 << 20
"""Bytes by which the peak may rise: caches and single objects, nothing that grows."""


def model(label: str, tensors: int, side: str) -> list[bytes]:
    """The manifest of a file of that many tensors of a chunk each; every third one is changed."""
    names = [f"model.layers.{i:06}.{label}.weight" for i in range(tensors)]
    labels = (f"{name}{side if i % 3 == 0 else ''}" for i, name in enumerate(names))
    refs = [ChunkRef(ChunkId(noise(each, 32)), SIZE) for each in labels]
    regions = [Region(i * SIZE, SIZE, ElementType.U8, n, (SIZE,)) for i, n in enumerate(names)]
    size = tensors * SIZE
    return encode_manifest(size, noise(label + side, 32), encode_entries(refs), None, regions)


def text(label: str) -> list[bytes]:
    """The manifest of a file of one chunk."""
    id_ = ChunkId(noise(label, 32))
    return encode_manifest(5, bytes(id_), encode_entries([ChunkRef(id_, 5)]))


def objects(side: str, files: int, models: int, tensors: int) -> Iterator[bytes]:
    """All objects of one commit, it last."""
    entries = []
    for number in range(models):
        made = model(f"m{number}", tensors, side)
        yield from made
        entries.append(Entry(b"m%06d" % number, *_file(made[-1], tensors * SIZE)))
    for number in range(files):
        made = text(f"{side}{number}")
        yield from made
        entries.append(Entry(b"t%06d" % number, *_file(made[-1], 5)))
    trees = list(encode_tree(entries))
    yield from trees
    yield encode_commit(Commit(object_id(trees[-1]), (), 0, 0, "Ada", side))


def _file(manifest: bytes, size: int) -> tuple[EntryType, int, int, int, bytes]:
    return EntryType.FILE, 0o644, 0, size, object_id(manifest)


def put(store: Store, side: str, made: Iterator[bytes]) -> None:
    """Put a commit's objects into the index, and a branch that shows it."""
    last = b""
    while some := list(islice(made, 1000)):
        store.index.put_objects({object_id(data): data for data in some})
        last = some[-1]
    none, commit = ObjectId(NO_ID), object_id(last)
    change = RefChanged(RefKind.BRANCH, "acme", side, "main", NO_ID, none, commit, 0)
    record = Record(store.id, WriterId(noise(side, 16)), 1, NO_ID, 0, (change,), bytes(32))
    store.index.apply(record, {})


def fresh_peak() -> int:
    """The peak of this process's memory from now on, so far (proc_pid_clear_refs(5)); bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """The peak of this process's memory in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


async def compared(path: Path, files: int, models: int, tensors: int) -> int:
    """Compare two such repositories; the bytes by which that raised the peak of memory."""
    async with fresh_store(path, "2+1") as store:
        for side in ("a", "b"):
            await trio.to_thread.run_sync(put, store, side, objects(side, files, models, tensors))
        before = fresh_peak()
        with await compare(store, parse_address("acme/a"), parse_address("acme/b")) as difference:
            counts = difference.summary.tensors
            assert counts["changed"].count == models * -(-tensors // 3)
            assert difference.summary.same.count == models * (tensors - -(-tensors // 3))
            assert difference.summary.files == {"changed": models + files}
            told = sum(1 for file in difference.files() for _ in difference.tensors(file))
            assert told == counts["changed"].count
            assert difference.summary.known == difference.summary.same.bytes
        return peak() - before


async def test_some_thousand(tmp_path: Path) -> None:
    await compared(tmp_path / "store", 2_000, 4, 500)


@pytest.mark.slow
async def test_a_hundred_thousand_files_and_two_hundred_thousand_tensors(tmp_path: Path) -> None:
    grown = await compared(tmp_path / "store", 100_000, 4, 50_000)
    assert grown < MEMORY, f"the peak of memory rose by {grown:,} bytes"
