"""What a rebuild notes until all journals were read: an environment of its own, thrown away later.

| sub-database | key | value |
|---|---|---|
| `shards` | pack id, shard (u8), backend | k, m (u8 each): a listing showed this shard there |
| `copies` | writer id, number (u64), copy (u8), backend | size (u64) of this copy, listed there |
| `placed` | pack id, shard (u8) | time (i64), backend: the last ShardPlaced by its record's time |
| `said` | `s` and `d` pack id, `c` change id, `k` record | of `s` the places: a record says it |
| `tables` | pack number (u32) | the chunk table of an object pack |

Big-endian throughout, so that keys sort as numbers do.
"""

import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice, takewhile
from typing import Any, Final

import lmdb

from ...ids import BackendId, PackId, WriterId
from ..formats.journal import (
    Compacted,
    ListedEntry,
    PackDeleted,
    PackListed,
    RefChanged,
    ShardPlaced,
)
from ..index.environment import MAP_SIZE, guarded
from ..index.lockfile import allocate_lock
from ..index.records import NUMBER

NAMES: Final = (b"shards", b"copies", b"placed", b"tables", b"said")

_STORED: Final = b"s"
_GONE: Final = b"d"
_CHANGE: Final = b"c"
_COMPACTED: Final = b"k"
_SHARD: Final = struct.Struct(">16sB16s")
_PLACE: Final = struct.Struct(">16sB")
_COPY: Final = struct.Struct(">16sQB16s")
_RECORD: Final = struct.Struct(">16sQ")
_SIZE: Final = struct.Struct(">Q")
_WHEN: Final = struct.Struct(">q16s")


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a journal record that a listing showed; `size` in bytes."""

    writer: WriterId
    seq: int
    copy: int
    backend: BackendId
    size: int


def within(records: list[list[Copy]], most: int) -> list[list[Copy]]:
    """The first of the records, each with its copies, that together have at most so many bytes; one
    at least."""
    size, count = 0, 0
    for copies in records:
        size += copies[0].size
        if count and size > most:
            break
        count += 1
    return records[:count]


class Scratch:
    """The notes of one rebuild, in the new folder `path`. Synchronous, in any thread.

    One thread reads while another one writes: so LMDB's locks are needed.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(path)
        self._path = path
        allocate_lock(path)
        with guarded(path, "meta"):
            self._env = lmdb.open(path, map_size=MAP_SIZE, max_dbs=len(NAMES), sync=False)
            self._shards, self._copies, self._placed, self._tables, self._said = (
                self._env.open_db(name) for name in NAMES
            )

    def close(self) -> None:
        """Let go of the environment."""
        self._env.close()

    # Noting

    def note_shards(self, found: Iterable[tuple[PackId, int, BackendId, bytes]]) -> None:
        """Shards that a listing showed; the bytes are k and m, as their keys say."""
        rows = ((_SHARD.pack(id_, index, where), km) for id_, index, where, km in found)
        self._put(self._shards, rows)

    def note_copies(self, found: Iterable[Copy]) -> None:
        """Copies of journal records that a listing showed."""
        rows = ((_COPY.pack(c.writer, c.seq, c.copy, c.backend), _SIZE.pack(c.size)) for c in found)
        self._put(self._copies, rows)

    def note_placed(self, placed: ShardPlaced, time_ns: int) -> None:
        """Where a shard was placed, unless a later record says otherwise."""
        key = _PLACE.pack(placed.pack, placed.index)
        with guarded(self._path, "placed"), self._env.begin(write=True, db=self._placed) as txn:
            known = txn.get(key)
            if known is None or _WHEN.unpack(known)[0] < time_ns:
                txn.put(key, _WHEN.pack(time_ns, placed.backend))

    def note_tables(self, tables: Iterable[tuple[int, bytes]]) -> None:
        """Chunk tables of object packs, by the packs' numbers."""
        self._put(self._tables, ((NUMBER.pack(number), table) for number, table in tables))

    def note_said(self, entries: Iterable[ListedEntry]) -> None:
        """What a record says: packs with their places, tombstones, ref changes."""
        rows: list[tuple[bytes, bytes]] = []
        for entry in entries:
            match entry:
                case PackListed():
                    rows.append((_STORED + entry.pack, b"".join(entry.locations)))
                case PackDeleted():
                    rows.append((_GONE + entry.pack, b""))
                case RefChanged():
                    rows.append((_CHANGE + entry.id, b""))
                case Compacted():
                    rows.append((_COMPACTED + _RECORD.pack(entry.writer, entry.seq), b""))
        self._put(self._said, rows)

    def _put(self, db: Any, rows: Iterable[tuple[bytes, bytes]]) -> None:
        with (
            guarded(self._path, "scratch"),
            self._env.begin(write=True) as txn,
            txn.cursor(db=db) as cursor,
        ):
            cursor.putmulti(sorted(rows))

    # Telling

    def holders(self, pack: PackId) -> dict[int, list[BackendId]]:
        """The backends on which each shard of a pack was found."""
        found: dict[int, list[BackendId]] = {}
        for key, _ in self._rows(self._shards, bytes(pack), bytes(pack)):
            _, index, backend = _SHARD.unpack(key)
            found.setdefault(index, []).append(BackendId(backend))
        return found

    @property
    def has_places(self) -> bool:
        """Whether anything was noted of where shards are."""
        with guarded(self._path, "placed"), self._env.begin() as txn:
            return any(txn.stat(db)["entries"] for db in (self._shards, self._placed))

    def scheme(self, pack: PackId) -> tuple[int, int]:
        """k and m as the first key of a pack says that was found."""
        ((_, km),) = self._rows(self._shards, bytes(pack), bytes(pack), 1)
        return km[0], km[1]

    def placed(self, pack: PackId) -> dict[int, BackendId]:
        """Where shards of a pack were placed after it was stored."""
        rows = self._rows(self._placed, bytes(pack), bytes(pack))
        return {key[16]: BackendId(_WHEN.unpack(value)[1]) for key, value in rows}

    def stored(self, pack: PackId) -> bytes | None:
        """The places of a pack by the record that stores it, 16 bytes each; None without one."""
        return self._get(_STORED + pack)

    def is_deleted(self, pack: PackId) -> bool:
        """Whether a record deletes that pack."""
        return self._get(_GONE + pack) is not None

    def has_change(self, change: bytes) -> bool:
        """Whether a record has the ref change of that id."""
        return self._get(_CHANGE + change) is not None

    def has_compacted(self, writer: WriterId, seq: int) -> bool:
        """Whether a segment stands for that record."""
        return self._get(_COMPACTED + _RECORD.pack(writer, seq)) is not None

    def _get(self, key: bytes) -> bytes | None:
        with guarded(self._path, "said"), self._env.begin(db=self._said) as txn:
            found: bytes | None = txn.get(key)
        return found

    def packs(self, after: PackId | None, count: int) -> list[PackId]:
        """Up to `count` packs of which a shard was found, by id, of those behind `after`."""
        found: list[PackId] = []
        start = b"" if after is None else after + b"\xff" * 18
        while len(found) < count and (keys := self._keys(self._shards, start, 1)):
            found.append(PackId(keys[0][:16]))
            start = keys[0][:16] + b"\xff" * 18
        return found

    def writers(self) -> list[WriterId]:
        """Every writer of whom a copy was found."""
        found, after = [], b""
        while keys := self._keys(self._copies, after, 1):
            found.append(WriterId(keys[0][:16]))
            after = keys[0][:16] + b"\xff" * 26
        return found

    def copies(self, writer: WriterId, below: int, records: int) -> list[list[Copy]]:
        """Copies of up to `records` records before number `below`, the latest record first."""
        start = _RECORD.pack(writer, below)
        with (
            guarded(self._path, "copies"),
            self._env.begin(db=self._copies) as txn,
            txn.cursor() as cursor,
        ):
            there = cursor.prev() if cursor.set_range(start) else cursor.last()
            rows = cursor.iterprev() if there else iter(())
            own = (_copy(*row) for row in takewhile(lambda row: row[0][:16] == writer, rows))
            return [list(group) for _, group in islice(groupby(own, key=_seq), records)]

    def copies_after(self, writer: WriterId, after: int, records: int) -> list[list[Copy]]:
        """Copies of up to `records` records behind number `after`, the earliest record first."""
        with (
            guarded(self._path, "copies"),
            self._env.begin(db=self._copies) as txn,
            txn.cursor() as cursor,
        ):
            there = cursor.set_range(_RECORD.pack(writer, after + 1))
            rows = cursor.iternext() if there else iter(())
            own = (_copy(*row) for row in takewhile(lambda row: row[0][:16] == writer, rows))
            return [list(group) for _, group in islice(groupby(own, key=_seq), records)]

    def tables(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Chunk tables of up to `count` object packs, by number, of those above `after`."""
        rows = self._rows(self._tables, NUMBER.pack(after + 1), b"", count)
        return [(NUMBER.unpack(key)[0], value) for key, value in rows]

    def _rows(
        self, db: Any, start: bytes, prefix: bytes, count: int | None = None
    ) -> Sequence[tuple[bytes, bytes]]:
        """Up to `count` rows from the key `start` on, as long as they begin with `prefix`."""
        found: list[tuple[bytes, bytes]] = []
        with (
            guarded(self._path, "scratch"),
            self._env.begin(db=db) as txn,
            txn.cursor() as cursor,
        ):
            if cursor.set_range(start):
                for key, value in cursor:
                    if not key.startswith(prefix) or len(found) == count:
                        break
                    found.append((key, value))
        return found

    def _keys(self, db: Any, start: bytes, count: int) -> list[bytes]:
        return [key for key, _ in self._rows(db, start, b"", count)]


def _copy(key: bytes, value: bytes) -> Copy:
    writer, seq, copy, backend = _COPY.unpack(key)
    return Copy(WriterId(writer), seq, copy, BackendId(backend), *_SIZE.unpack(value))


def _seq(copy: Copy) -> int:
    return copy.seq
