"""How fast `rebuild-index` is: chunks a second, from journals full of packs of tiny chunks; and how
long `init --join` takes of a store of many packs, whose journal is segments.

The store is real but for its shards, which are empty files: a rebuild lists them and reads none
but those of object packs, and there are none. Every record is there m+1 times, on directories of
one disk; the pages of the files are in the kernel's cache.
"""

import os
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from modelfloat.backends.keys import journal_key, shard_key
from modelfloat.bench.harness import BenchError, run_command
from modelfloat.bench.index import PACK, RECORD, counts, packs, stored
from modelfloat.bench.report import Report
from modelfloat.bench.segments import ADDER, CHUNKS, pack_of, write_segments
from modelfloat.bench.session import Session
from modelfloat.cas.formats.journal import Record, encode_record
from modelfloat.cas.index.index import Index
from modelfloat.config import read_config
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import ChunkId, WriterId

TARGET: Final = 150_000
"""Chunks a second."""
WRITER: Final = WriterId(b"w" * 16)
JOINED: Final = 100_000
"""Packs of the store that is joined."""
JOIN_SECONDS: Final = 60
JOIN_ANON: Final = 400_000_000
JOIN_HEADER: Final = (
    "| packs joined | chunks | segments | journal MB | seconds | peak RssAnon MB | target | |\n"
    "|---|---|---|---|---|---|---|---|"
)
HEADER: Final = (
    "| chunks | packs | records | journal MB | seconds | chunks/s | target | | peak RssAnon MB |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def measure(session: Session) -> Report:
    """Rebuild the index of stores of so many chunks."""
    rows = [_measure(session.folder, chunks) for chunks in counts(session)]
    joined = [JOIN_HEADER, _measure_join(session.folder, JOINED)]
    notes = [
        f"one run; {RECORD} packs of {PACK:,} a record",
        f"joined: packs of {CHUNKS} chunks, once a record each, none of objects",
    ]
    return Report("rebuild", [[HEADER, *rows], joined], notes)


def _measure_join(folder: Path | None, count: int) -> str:
    with tempfile.TemporaryDirectory(prefix="modelfloat-bench-", dir=folder or "/var/tmp") as name:
        store, other = Path(name) / "store", Path(name) / "other"
        trio.run(create_store, str(store), Scheme(4, 2), ())
        records, size = write_segments(store, count, 3)
        os.sync()
        places = [f"--backend=d{i}={store}/backends/d{i}" for i in range(6)]
        command = ["--store", str(other), "--quiet", "init", "--join", *places]
        run = run_command([sys.executable, "-m", "modelfloat.cli.main", *command])
        _check_joined(other, count)
    met = run.seconds <= JOIN_SECONDS and (run.peak_anon or 0) <= JOIN_ANON
    return (
        f"| {count:,} | {count * CHUNKS:,} | {records:,} | {size / 1e6:,.0f} | {run.seconds:.1f} "
        f"| {(run.peak_anon or 0) / 1e6:,.0f} | < {JOIN_SECONDS} s, ≤ {JOIN_ANON / 1e6:.0f} MB "
        f"| {'met' if met else 'missed'} |"
    )


def _check_joined(store: Path, count: int) -> None:
    with closing(Index.open(str(store / "index"))) as index:
        found = sum(pack.chunk_count for pack in index.packs())
        last = pack_of(count, ())
        placed = index.locate([ChunkId(last.table[:32])])
        known, _ = index.writer(ADDER)
    if found != count * CHUNKS or not all(placed) or known != count:
        raise BenchError(f"the index has {found:,} chunks, {count * CHUNKS:,} were written")


def _measure(folder: Path | None, chunks: int) -> str:
    count = max(1, chunks // PACK)
    with tempfile.TemporaryDirectory(prefix="modelfloat-bench-", dir=folder or "/var/tmp") as name:
        store = Path(name) / "store"
        trio.run(create_store, str(store), Scheme(4, 2), ())
        records, size = _fill(store, count)
        os.sync()
        run = run_command([sys.executable, "-m", "modelfloat.cli.main", *_arguments(store)])
        _check(store, count)
    rate = count * PACK / run.seconds
    return (
        f"| {count * PACK:,} | {count:,} | {records:,} | {size / 1e6:,.0f} | {run.seconds:.1f} "
        f"| {rate:,.0f} | ≥ {TARGET:,} | {'met' if rate >= TARGET else 'missed'} "
        f"| {(run.peak_anon or 0) / 1e6:,.0f} |"
    )


def _fill(store: Path, count: int) -> tuple[int, int]:
    """Write the journal of so many packs; how many records, and the bytes of one copy of all."""
    config = read_config(str(store))
    places = tuple(backend.id for backend in config.backends)
    previous, size, seq = bytes(32), 0, 0
    for first in range(0, count, RECORD):
        seq += 1
        some = [replace(p, locations=places) for p in packs(first, min(RECORD, count - first))]
        entries = tuple(stored(pack) for pack in some)
        record = Record(config.id, WRITER, seq, previous, time.time_ns(), entries)
        data = encode_record(record)
        previous, size = data[-32:], size + len(data)
        for copy in range(3):
            _put(store, copy, journal_key(WRITER, seq, copy), data)
        for pack in some:
            for index in range(6):
                _put(store, index, shard_key(pack.pack, index, 4, 2), b"")
    return seq, size


def _arguments(store: Path) -> list[str]:
    return ["--store", str(store), "--quiet", "rebuild-index"]


def _check(store: Path, packs_written: int) -> None:
    with closing(Index.open(str(store / "index"))) as index:
        chunks = sum(pack.chunk_count for pack in index.packs())
        (last,) = packs(packs_written - 1, 1)
        found = index.locate([chunk.id for chunk in stored(last).chunks])
    if chunks != packs_written * PACK or not all(found):
        raise BenchError(f"the index has {chunks:,} chunks, {packs_written * PACK:,} were written")


def _put(store: Path, backend: int, key: str, data: bytes) -> None:
    path = store / "backends" / f"d{backend}" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
