"""Journal entries turned into the index's rows. Runs inside the caller's write transaction.

The result does not depend on the order in which the records of several writers come: a pack that
was deleted stays deleted, and a change that another names is no head, whichever comes first.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...errors import FormatError
from ...ids import PackNumber, WriterId
from ..formats.chunktable import PackedChunk
from ..formats.journal import (
    NO_ID,
    Compacted,
    JournalEntry,
    PackDeleted,
    PackStored,
    RefChanged,
    ShardPlaced,
    encode_ref,
)
from ..refnames import RepoName, ref_key
from .environment import SIGNED, Databases
from .records import (
    HEAD,
    NUMBER,
    RECORD,
    REFLOG,
    WRITER,
    Location,
    LostRecords,
    PackRecord,
    ShardState,
)
from .sums import encode_sums, sums_of


def apply_entry(dbs: Databases, txn: Any, entry: JournalEntry) -> None:
    """Take over one entry within the write transaction `txn`; a second time changes nothing."""
    match entry:
        case PackStored():
            _apply_pack(dbs, txn, entry)
        case RefChanged():
            _apply_ref(dbs, txn, entry)
        case ShardPlaced():
            _apply_placed(dbs, txn, entry)
        case PackDeleted():
            _apply_deleted(dbs, txn, entry)
        case Compacted():
            _apply_compacted(dbs, txn, entry)


def news(dbs: Databases, txn: Any, entries: Iterable[JournalEntry]) -> Iterator[JournalEntry]:
    """The entries of a record that are to be applied: of a segment not those of records that are
    known, since when shards may have moved."""
    known = False
    for entry in entries:
        if isinstance(entry, Compacted):
            known = is_known(dbs, txn, entry.writer, entry.seq)
            yield entry
        elif not known:
            yield entry


def is_known(dbs: Databases, txn: Any, writer: WriterId, seq: int) -> bool:
    """Whether that record was applied, by itself or from a segment."""
    if txn.get(RECORD.pack(writer, seq), db=dbs.lost):
        return True
    data = txn.get(writer, db=dbs.writers)
    applied = data is not None and WRITER.unpack(data)[0] >= seq
    return applied and not _is_in_gap(dbs, txn, writer, seq)


def _is_in_gap(dbs: Databases, txn: Any, writer: WriterId, seq: int) -> bool:
    with txn.cursor(db=dbs.gaps) as cursor:
        if not cursor.set_range(RECORD.pack(writer, 0)):
            return False
        for key, value in cursor:
            if key[:16] != writer:
                return False
            gap = LostRecords.of_row(bytes(key), value)
            if gap.first <= seq <= gap.last:
                return True
    return False


def _apply_compacted(dbs: Databases, txn: Any, entry: Compacted) -> None:
    """Note that a record may be gone, and go on behind it where it is the next of its writer."""
    txn.put(RECORD.pack(entry.writer, entry.seq), entry.digest, db=dbs.lost)
    narrow_gap(dbs, txn, entry.writer, entry.seq)
    go_on(dbs, txn, entry.writer)


def go_on(dbs: Databases, txn: Any, writer: WriterId) -> None:
    """Count as applied what follows a writer's last known record and segments stand for."""
    data = txn.get(writer, db=dbs.writers)
    last, digest = (0, b"") if data is None else WRITER.unpack(data)
    first = last
    while found := txn.get(RECORD.pack(writer, last + 1), db=dbs.lost):
        last, digest = last + 1, found
    if last > first:
        txn.put(writer, WRITER.pack(last, digest), db=dbs.writers)


def _apply_pack(dbs: Databases, txn: Any, stored: PackStored) -> None:
    if txn.get(stored.pack, db=dbs.packids) is not None:
        return
    if txn.get(stored.pack, db=dbs.deleted) is not None:
        return
    (number,) = NUMBER.unpack(txn.get(b"next_pack", db=dbs.meta))
    key = NUMBER.pack(number)
    txn.put(b"next_pack", NUMBER.pack(number + 1), db=dbs.meta)
    txn.put(stored.pack, key, db=dbs.packids)
    txn.put(key, PackRecord.of(number, stored).encode(), db=dbs.packs)
    txn.put(key, encode_sums(sums_of(stored.chunks)), db=dbs.sums)
    # Sorted, because LMDB writes each page once then: 15 times faster than random order.
    with txn.cursor(db=dbs.chunks) as cursor:
        cursor.putmulti(sorted(chunk_rows(number, stored.chunks)))


def _apply_ref(dbs: Databases, txn: Any, change: RefChanged) -> None:
    key = ref_key(RepoName(change.vendor, change.name), change.kind, change.ref)
    # A clock set to before 1970 must not keep a change from being noted.
    told = REFLOG.pack(max(0, change.time_ns), change.id)
    txn.put(told, encode_ref(change), db=dbs.reflog)
    if change.signature is not None and txn.get(b"format", db=dbs.meta) != SIGNED:
        txn.put(b"format", SIGNED, db=dbs.meta)
    if change.previous != NO_ID:
        txn.put(change.previous, b"", db=dbs.superseded)
        _drop_head(dbs, txn, key, change.previous)
    # A change that comes late, after one that names it, is no head any more.
    if change.new != NO_ID and txn.get(change.id, db=dbs.superseded) is None:
        txn.put(key, HEAD.pack(change.id, change.new, change.time_ns), db=dbs.refs)


def _drop_head(dbs: Databases, txn: Any, key: bytes, change: bytes) -> None:
    with txn.cursor(db=dbs.refs) as cursor:
        # The least value from the change's id on: heads begin with the id of their change.
        if cursor.set_range_dup(key, change) and cursor.value().startswith(change):
            cursor.delete()


def _apply_placed(dbs: Databases, txn: Any, placed: ShardPlaced) -> None:
    key = txn.get(placed.pack, db=dbs.packids)
    if key is None:
        return
    record = PackRecord.decode(NUMBER.unpack(key)[0], txn.get(key, db=dbs.packs))
    if placed.index >= record.n:
        raise FormatError(
            f"the journal places shard {placed.index} of pack {placed.pack.hex()}, "
            f"which has {record.n}; this release cannot apply that record"
        )
    backends, states = list(record.backends), list(record.states)
    backends[placed.index] = placed.backend
    states[placed.index] = ShardState.GOOD
    record = replace(record, backends=tuple(backends), states=tuple(states))
    txn.put(key, record.encode(), db=dbs.packs)


def _apply_deleted(dbs: Databases, txn: Any, deleted: PackDeleted) -> None:
    txn.put(deleted.pack, b"", db=dbs.deleted)
    key = txn.pop(deleted.pack, db=dbs.packids)
    if key is not None:
        txn.delete(key, db=dbs.packs)
        txn.delete(key, db=dbs.sums)


def doomed_packs(dbs: Databases, txn: Any, entries: Iterable[JournalEntry]) -> set[bytes]:
    """The numbers, as keys, of known packs that `entries` delete: their rows in `chunks` go first.

    They go in transactions of their own, so that a record which deletes many packs costs one pass
    over all chunks, and nobody waits for the end of it.
    """
    found: set[bytes] = set()
    for entry in entries:
        if isinstance(entry, PackDeleted):
            key = txn.get(entry.pack, db=dbs.packids)
            if key is not None:
                found.add(bytes(key))
    return found


def mark_deleted(dbs: Databases, txn: Any, entries: Iterable[JournalEntry]) -> None:
    """Note the packs that `entries` delete, before anything of them goes."""
    for entry in entries:
        if isinstance(entry, PackDeleted):
            txn.put(entry.pack, b"", db=dbs.deleted)


def narrow_gap(dbs: Databases, txn: Any, writer: WriterId, seq: int) -> None:
    """A record that counted as lost is there after all: those behind it still do."""
    value = txn.pop(RECORD.pack(writer, seq), db=dbs.gaps)
    if value is not None:
        gap = LostRecords.of_row(RECORD.pack(writer, seq), value)
        if gap.last > seq:
            txn.put(*replace(gap, first=seq + 1).row(), db=dbs.gaps)


def chunk_rows(number: int, chunks: Sequence[PackedChunk]) -> Iterable[tuple[bytes, bytes]]:
    """Keys and values in `chunks` for all chunks of a pack, in its order."""
    for slot, c in enumerate(chunks):
        place = Location(PackNumber(number), slot, c.codec, c.kind, c.offset, c.stored, c.raw)
        yield c.id, place.encode()
