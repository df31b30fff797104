"""How much memory and time `gc` takes: marking, and deleting, in a store of many tiny chunks.

The index is real, filled in bulk: packs of random chunks, files whose manifests name them page by
page, one commit that reaches all files but one. Packs are as of tiny files (12,500 chunks each) and
as of large ones (64). No shard is on the backends: what is measured asks for none. Each run is the
whole command, from start to end.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import trio

from modelfloat.backends.keys import journal_key
from modelfloat.bench.harness import BenchError, Run, run_command, say
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.cas.formats.chunktable import FIELDS, PACK_SIZE, Kind
from modelfloat.cas.formats.commit import Commit, encode_commit
from modelfloat.cas.formats.journal import (
    NO_ID,
    PackListed,
    Record,
    RefChanged,
    RefKind,
    decode_record,
    encode_record,
)
from modelfloat.cas.formats.manifest import decode_manifest, encode_manifest
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.shard import shard_length
from modelfloat.cas.formats.tree import Entry, EntryType, encode_tree
from modelfloat.cas.index.index import Index
from modelfloat.cas.rebuild.draft import Draft
from modelfloat.config import read_config
from modelfloat.creating import create_store
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import BackendId, ObjectId, PackId, WriterId
from modelfloat.storeconfig import StoreConfig

TARGET: Final = 300_000_000
"""Bytes of RssAnon at AT chunks."""
AT: Final = 50_000_000
SHAPES: Final = (12_500, 64)
"""Chunks a pack."""
FILE: Final = 625_000
"""Chunks a file, about."""
LEAST: Final = 4
"""Files there are at least."""
OBJECTS: Final = 4096
"""Objects a pack."""
OBJECT: Final = 200
"""Bytes that an object is said to take in its pack."""
WRITER: Final = WriterId(b"w" * 16)
HEADER: Final = (
    "| chunks | packs | what | seconds | chunks/s | peak RssAnon MB | target | |\n"
    "|---|---|---|---|---|---|---|---|"
)
_ENTRY: Final = np.dtype([("id", "V32"), ("raw", "<u4")])


@dataclass(frozen=True, slots=True)
class Point:
    """One run over so many packs, of `each` chunks."""

    what: str
    each: int
    packs: int
    run: Run

    @property
    def chunks(self) -> int:
        """In all packs together."""
        return self.each * self.packs

    @property
    def anon(self) -> int:
        """Its peak RssAnon, bytes."""
        return self.run.peak_anon or 0

    def __str__(self) -> str:
        met = "met" if self.anon <= TARGET else "missed"
        return (
            f"| {self.chunks:,} | {self.packs:,} | {self.what} | {self.run.seconds:.1f} "
            f"| {self.chunks / self.run.seconds:,.0f} | {self.anon / 1e6:,.0f} "
            f"| ≤ {TARGET / 1e6:,.0f} | {met} |"
        )


def measure(session: Session) -> Report:
    """Collect garbage in stores of a quarter of, and of, so many chunks."""
    points: list[Point] = []
    notes = [f"files of {FILE:,} chunks, of which one is garbage"]
    for each in SHAPES:
        few, many = (_measure(session.folder, chunks, each) for chunks in _counts(session.chunks))
        points += [*few, *many]
        notes += [_slope(*pair) for pair in zip(few, many, strict=True)]
    return Report("collect", [[HEADER, *map(str, points)]], notes)


def _counts(chunks: int) -> tuple[int, int]:
    least = FILE * LEAST
    return max(least, chunks // 4), max(2 * least, chunks)


def _slope(few: Point, many: Point) -> str:
    slope = (many.anon - few.anon) / (many.chunks - few.chunks)
    there = many.anon + slope * (AT - many.chunks)
    return (
        f"packs of {few.each:,}, {few.what}: {slope:.2f} bytes of RssAnon a chunk more, "
        f"{there / 1e6:,.0f} MB at {AT:,}"
    )


def _measure(folder: Path | None, chunks: int, each: int) -> list[Point]:
    with tempfile.TemporaryDirectory(prefix="modelfloat-bench-", dir=folder or "/var/tmp") as name:
        store = Path(name) / "store"
        trio.run(create_store, str(store), Scheme(4, 2), ())
        packs, dead = _fill(store, chunks, each)
        os.sync()
        say(f"made an index of {packs * each:,} chunks in {packs:,} packs")
        runs = {
            "marked (--dry-run)": _collect(store, dead, "--dry-run"),
            "collected": _collect(store, dead),
        }
    return [Point(what, each, packs, run) for what, run in runs.items()]


def _fill(store: Path, chunks: int, each: int) -> tuple[int, int]:
    """Fill the store's index; how many packs there are, and of how many nothing is reached."""
    config = read_config(str(store))
    places = tuple(backend.id for backend in config.backends)
    draft = Draft(str(store / "index"), config.id)
    entries, made = list[Entry](), list[ObjectId]()
    packs, dead = 0, 0
    for number in range(chunks // FILE):
        some = [_pack(packs + i, each, places) for i in range(FILE // each)]
        packs += len(some)
        draft.take(some, 0)
        if number == 0:
            dead = len(some)
            continue
        manifest = _manifest(some)
        made += _keep(draft, manifest)
        name = b"file-%06d" % number
        entries.append(Entry(name, EntryType.FILE, 0o644, 0, _raw(manifest), made[-1]))
    trees = list(encode_tree(entries))
    commit = Commit(object_id(trees[-1]), (), time.time_ns(), 0, "bench", "all files")
    made += _keep(draft, [*trees, encode_commit(commit)])
    draft.take(_object_packs(made, places), 0)
    draft.write_chunks()
    draft.finish()
    _move_ref(store, config, made[-1])
    return packs, dead


def _pack(number: int, each: int, places: tuple[BackendId, ...]) -> PackListed:
    """A full pack of random chunks: a small one would be merged."""
    stored = PACK_SIZE // each
    table = np.zeros(each, FIELDS)
    table["id"] = np.frombuffer(np.random.default_rng(number).bytes(32 * each), "V32")
    table["stored"] = table["raw"] = stored
    table["offset"] = np.arange(each) * stored
    length = each * stored
    return PackListed(
        PackId(number.to_bytes(16)),
        4,
        2,
        Kind.DATA,
        length,
        shard_length(length, 4),
        places,
        table.tobytes(),
    )


def _manifest(some: list[PackListed]) -> list[bytes]:
    """The objects of a file that has all chunks of some packs."""
    table = np.concatenate([np.frombuffer(pack.table, FIELDS) for pack in some])
    refs = np.zeros(len(table), _ENTRY)
    refs["id"], refs["raw"] = table["id"], table["raw"]
    return encode_manifest(int(refs["raw"].sum()), bytes(32), refs.tobytes())


def _raw(manifest: list[bytes]) -> int:
    return decode_manifest(manifest[-1]).size


def _keep(draft: Draft, objects: list[bytes]) -> list[ObjectId]:
    """Mirror objects; their ids, in order."""
    ids = [object_id(data) for data in objects]
    draft.put_objects(dict(zip(ids, objects, strict=True)))
    return ids


def _object_packs(ids: list[ObjectId], places: tuple[BackendId, ...]) -> Iterator[PackListed]:
    """Packs that objects are said to lie in."""
    for number, at in enumerate(range(0, len(ids), OBJECTS)):
        part = ids[at : at + OBJECTS]
        table = np.zeros(len(part), FIELDS)
        table["id"] = np.frombuffer(b"".join(part), "V32")
        table["stored"] = table["raw"] = OBJECT
        table["offset"] = np.arange(len(part)) * OBJECT
        table["kind"] = Kind.OBJECT
        length = len(part) * OBJECT
        id_ = PackId(bytes([0xFF]) * 8 + number.to_bytes(8))
        yield PackListed(id_, 1, 2, Kind.OBJECT, length, length, places[:3], table.tobytes())


def _move_ref(store: Path, config: StoreConfig, commit: ObjectId) -> None:
    """Let a branch be at the commit, by a record in the index and on the backends."""
    moved = RefChanged(
        RefKind.BRANCH, "acme", "all", "main", NO_ID, ObjectId(NO_ID), commit, time.time_ns()
    )
    record = Record(config.id, WRITER, 1, bytes(32), time.time_ns(), (moved,))
    data = encode_record(record)
    for copy in range(3):
        path = store / "backends" / f"d{copy}" / journal_key(WRITER, 1, copy)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with closing(Index.open(str(store / "index"))) as index:
        index.apply(decode_record(data, "the record"), {})


def _collect(store: Path, dead: int, *options: str) -> Run:
    """Run gc; BenchError where it does not delete what is dead and nothing else."""
    said = store / "said.json"
    gc = ["gc", "--grace", "0", "--json", *options]
    command = [sys.executable, "-m", "modelfloat.cli.main", "--store", str(store), "--quiet", *gc]
    run = run_command(["/bin/sh", "-c", f'exec "$@" > "{said}"', "sh", *command])
    report = json.loads(said.read_text())
    done = {name: report[name] for name in ("deleted", "rewritten", "merged", "skipped")}
    if done != {"deleted": dead, "rewritten": 0, "merged": 0, "skipped": 0}:
        raise BenchError(f"gc did {done}, {dead} packs are dead")
    return run
