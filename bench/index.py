"""How the index fares with many chunks: its size, inserts and lookups a second, memory.

`python -m modelfloat.bench.index --chunks 5e7 --folder DIR` runs this subject alone. Chunks are
random ids in packs of 12,500, generated before the clock starts. The first table is an index filled
by records of eight packs, as an add's journal is applied, each with its fsync; the second one was
filled in bulk, as `rebuild-index` does, and then gets some records more and is looked up in.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb
import numpy as np

from modelfloat.bench.harness import say
from modelfloat.bench.report import Report, write
from modelfloat.bench.sampler import AnonSampler
from modelfloat.bench.session import Session
from modelfloat.cas.formats.chunktable import FIELDS, Kind, decode_table
from modelfloat.cas.formats.journal import PackListed, PackStored, Record
from modelfloat.cas.formats.shard import shard_length
from modelfloat.cas.index.index import Index
from modelfloat.cas.rebuild.draft import Draft
from modelfloat.ids import BackendId, ChunkId, PackId, StoreId, WriterId

PACK: Final = 12_500
"""Chunks a pack."""
RECORD: Final = 8
"""Packs a record."""
LARGEST: Final = 5_000_000
"""Chunks that come in by records alone, at most: each record writes most pages of a large index."""
STORED: Final = 200
"""Bytes a chunk takes in its pack; the index does not mind."""
MORE: Final = 10
"""Records that an index filled in bulk gets afterwards."""
LOOKED_UP: Final = 200_000
"""Chunks looked up, 64 at a time as a reader does."""
STORE: Final = StoreId(b"s" * 16)
PLACES: Final = tuple(BackendId(bytes([i]) * 16) for i in range(6))
HEADER: Final = (
    "| index | chunks | bytes a chunk | in use | inserts/s | lookups/s | peak RssAnon MB |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One index: rates a second; `size` of its file and what is `used` of it, in bytes."""

    what: str
    chunks: int
    size: int
    used: int
    inserts: float
    lookups: float
    anon: int

    def __str__(self) -> str:
        return (
            f"| {self.what} | {self.chunks:,} | {self.size / self.chunks:.0f} "
            f"| {self.used / self.chunks:.0f} | {self.inserts:,.0f} | {self.lookups:,.0f} "
            f"| {self.anon / 1e6:,.0f} |"
        )


def measure(session: Session) -> Report:
    """Fill indexes of `session.chunks` chunks on a disk, and look chunks up in them."""
    with _folder(session.folder) as folder:
        rows = [by_records(folder, counts(session)[0])]
        for chunks in counts(session):
            rows += in_bulk(folder, chunks)
    notes = [
        "one run each; 64 random ids a lookup, each in one read transaction",
        f"records of {RECORD} packs of {PACK:,} chunks, each applied in a durable transaction",
        "inserts in bulk: sorted on disk first, durable once at the end",
    ]
    return Report("index", [[HEADER, *map(str, rows)]], notes)


def counts(session: Session) -> list[int]:
    """How many chunks there are to be: a usual number first, then all that are asked for."""
    return sorted({min(session.chunks, LARGEST), session.chunks})


def packs(first: int, count: int) -> Iterator[PackListed]:
    """Packs of random chunks; the same number gives the same pack."""
    for number in range(first, first + count):
        table = np.zeros(PACK, FIELDS)
        ids = np.random.default_rng(number).bytes(32 * PACK)
        table["id"] = np.frombuffer(ids, "V32")
        table["stored"] = table["raw"] = STORED
        table["offset"] = np.arange(PACK) * STORED
        length = PACK * STORED
        id_ = PackId(number.to_bytes(16))
        shard = shard_length(length, 4)
        yield PackListed(id_, 4, 2, Kind.DATA, length, shard, PLACES, table.tobytes())


def stored(pack: PackListed) -> PackStored:
    """The same with every chunk as a value, as an add has it."""
    chunks = decode_table(pack.table, pack.length)
    return PackStored(
        pack.pack, pack.k, pack.m, pack.kind, pack.length, pack.shard, pack.locations, chunks
    )


def by_records(folder: Path, chunks: int) -> Row:
    """An index filled by records."""
    path = folder / "records"
    total = max(1, chunks // PACK)
    with _sampled() as sampler, closing(Index.create(str(path), STORE)) as index:
        seconds = insert(index, 0, total)
        lookups = look_up(index, total)
    count = total * PACK
    row = Row("records", count, *sizes(path), count / seconds, lookups, sampler.peak or 0)
    shutil.rmtree(path)
    return row


def sizes(path: Path) -> tuple[int, int]:
    """Bytes of an index's file, and those of its pages that hold chunks' rows."""
    with lmdb.open(str(path), readonly=True, lock=False, max_dbs=1) as env:
        chunks = env.open_db(b"chunks", create=False)
        with env.begin() as txn:
            stat = txn.stat(chunks)
    pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return (path / "data.mdb").stat().st_size, pages * stat["psize"]


def in_bulk(folder: Path, chunks: int) -> list[Row]:
    """An index filled in bulk; the same after some records more."""
    path = folder / "bulk"
    total = max(1, chunks // PACK)
    with _sampled() as sampler:
        draft = Draft(str(path), STORE)
        seconds = 0.0
        for number in range(0, total, RECORD):
            some = list(packs(number, min(RECORD, total - number)))
            began = time.perf_counter()
            draft.take(some, 0)
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        draft.write_chunks()
        draft.finish()
        seconds += time.perf_counter() - began
    with closing(Index.open(str(path))) as index:
        lookups = look_up(index, total)
    count = total * PACK
    bulk = Row("in bulk", count, *sizes(path), count / seconds, lookups, sampler.peak or 0)
    added = RECORD * MORE * PACK
    with _sampled() as sampler, closing(Index.open(str(path))) as index:
        rate = added / insert(index, total, RECORD * MORE)
        lookups = look_up(index, total)
    what = "the same, and records"
    mixed = Row(what, count + added, *sizes(path), rate, lookups, sampler.peak or 0)
    shutil.rmtree(path)
    return [bulk, mixed]


def insert(index: Index, first: int, count: int) -> float:
    """Apply packs in records; seconds that took."""
    seconds = 0.0
    for number in range(first, first + count, RECORD):
        some = packs(number, min(RECORD, first + count - number))
        entries = tuple(stored(pack) for pack in some)
        record = Record(STORE, WriterId(b"w" * 16), number + 1, bytes(32), 0, entries, bytes(32))
        began = time.perf_counter()
        index.apply(record, {})
        seconds += time.perf_counter() - began
    return seconds


def look_up(index: Index, total: int) -> float:
    """Lookups a second of chunks that are there, in random order."""
    dice = random.Random(1)
    ids: list[ChunkId] = []
    for number in dice.sample(range(total), min(total, 100)):
        (pack,) = packs(number, 1)
        ids += (chunk.id for chunk in dice.sample(stored(pack).chunks, PACK // 5))
    dice.shuffle(ids)
    ids = ids[:LOOKED_UP]
    began = time.perf_counter()
    for at in range(0, len(ids), 64):
        if not all(index.locate(ids[at : at + 64])):
            raise RuntimeError("a chunk is not where it was put")
    return len(ids) / (time.perf_counter() - began)


@contextmanager
def _sampled() -> Iterator[AnonSampler]:
    sampler = AnonSampler(os.getpid())
    try:
        yield sampler
    finally:
        sampler.stop()


@contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    """A fresh folder on a disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="modelfloat-bench-", dir=parent or "/var/tmp") as name:
        yield Path(name)


def main() -> int:
    """Print the tables, and write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=float, default=5e6)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--no-write", action="store_true")
    given = parser.parse_args()
    session = Session(Path(), 1, 0, False, int(given.chunks), given.folder)
    report = measure(session)
    print(report)
    if not given.no_write:
        say(f"written: results/{write(report).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
