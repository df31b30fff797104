"""What `backend ls` and `stats` take of a store of many packs: what people and monitors run often.

The index is filled by journal records as adds fill it: full packs of chunks of a mebibyte, laid
over six directories by the store's own placement, and files of a gibibyte that consist of them.
Only the shards themselves are not there, which neither command asks for. Each run is a process of
its own.
"""

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import say
from modelfloat.bench.ours import Store
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.cas.codecs.raw import RAW
from modelfloat.cas.formats.chunktable import Kind, PackedChunk
from modelfloat.cas.formats.commit import Commit, encode_commit
from modelfloat.cas.formats.journal import (
    NO_ID,
    JournalEntry,
    PackStored,
    Record,
    RefChanged,
    RefKind,
)
from modelfloat.cas.formats.manifest import ChunkRef, encode_entries, encode_manifest
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.shard import shard_length
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.index.index import Index
from modelfloat.cas.packs.placement import Candidate, place
from modelfloat.config import read_config
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import ChunkId, ObjectId, PackId, WriterId
from modelfloat.storeconfig import StoreConfig

PACKS: Final = 10_000
CHUNKS: Final = 64
"""Chunks of a mebibyte a pack."""
FILE: Final = 16
"""Packs a file."""
RECORD: Final = 128
"""Packs a record; more than an add has together, for the sake of time."""
CHUNK: Final = 1 << 20
MOST: Final = 1.0
"""Seconds, Python's start included."""


def measure(session: Session) -> Report:
    """Both commands, by turns, each from its start to its end."""
    found: dict[str, list[tuple[float, float]]] = {"backend ls": [], "stats": []}
    with tempfile.TemporaryDirectory(
        prefix="modelfloat-bench-", dir=session.folder or "/var/tmp"
    ) as folder:
        store = Store(Path(folder) / "store")
        say(f"making an index of {PACKS:,} packs")
        fill(store.path, PACKS)
        os.sync()
        for _ in range(session.rounds):
            for what, taken in found.items():
                taken.append(_timed(store, what))
    figures = []
    for what, taken in found.items():
        seconds, worked = zip(*taken, strict=True)
        figures += [Figure(what, "s", seconds, most=MOST), Figure(f"{what}: CPU", "s", worked)]
    size = PACKS * CHUNKS * CHUNK / 1e9
    notes = [
        f"{PACKS:,} packs of {CHUNKS} chunks in {PACKS // FILE:,} files, {size:,.0f} GB, 4+2",
        "six directories; the index in the page cache",
    ]
    return Report("packs", [[HEADER, *map(str, figures)]], notes)


def _timed(store: Store, command: str) -> tuple[float, float]:
    """Seconds that a command took, and those for which it had a processor."""
    before = os.times()
    seconds = store.run(*command.split()).seconds
    after = os.times()
    user = after.children_user - before.children_user
    return seconds, user + after.children_system - before.children_system


def fill(path: Path, count: int) -> None:
    """Give the index of a store so many packs, and a branch with files that consist of them."""
    config = read_config(str(path))
    writer = WriterId(b"w" * 16)
    with closing(Index.open(str(path / "index"))) as index:
        for seq, first in enumerate(range(0, count, RECORD), 1):
            entries = tuple(_pack(config, n) for n in range(first, min(first + RECORD, count)))
            index.apply(_record(config, writer, seq, entries), {})
        made = list(_objects(count))
        change = RefChanged(
            RefKind.BRANCH,
            "acme",
            "many",
            "main",
            NO_ID,
            ObjectId(NO_ID),
            object_id(made[-1]),
            0,
        )
        last = _record(config, writer, seq + 1, (change,))
        index.apply(last, {object_id(data): data for data in made})


def _record(
    config: StoreConfig, writer: WriterId, seq: int, entries: tuple[JournalEntry, ...]
) -> Record:
    return Record(config.id, writer, seq, NO_ID, 0, entries, bytes(32))


def _ids(pack: int) -> list[ChunkId]:
    data = random.Random(pack).randbytes(32 * CHUNKS)
    return [ChunkId(data[at : at + 32]) for at in range(0, len(data), 32)]


def _pack(config: StoreConfig, number: int) -> PackStored:
    id_ = PackId(random.Random(-1 - number).randbytes(16))
    candidates = [Candidate(b.id, b.name, b.weight) for b in config.backends]
    scheme = Scheme.parse(config.scheme)
    k, m = scheme.k, scheme.m
    chunks = tuple(
        PackedChunk(chunk, slot * CHUNK, CHUNK, CHUNK, RAW.number, Kind.DATA, 0)
        for slot, chunk in enumerate(_ids(number))
    )
    length = CHUNKS * CHUNK
    places = tuple(place(id_, candidates, k + m))
    return PackStored(id_, k, m, Kind.DATA, length, shard_length(length, k), places, chunks)


def _objects(count: int) -> Iterator[bytes]:
    """Manifests, the tree, and the commit last."""
    entries = []
    for first in range(0, count, FILE):
        packs = range(first, min(first + FILE, count))
        size = len(packs) * CHUNKS * CHUNK
        refs = [ChunkRef(id_, CHUNK) for number in packs for id_ in _ids(number)]
        made = encode_manifest(size, first.to_bytes(32), encode_entries(refs))
        yield from made
        target = object_id(made[-1])
        entries.append(Entry(b"model-%06d" % first, EntryType.FILE, 0o644, 0, size, target))
    trees = list(encode_tree(entries))
    yield from trees
    yield encode_commit(Commit(object_id(trees[-1]), (), 0, 0, "Ada", "many packs"))
