"""Journal entries turned into the index's rows. Runs inside the caller's write transaction.

The result does not depend on the order in which the records of several writers come: a pack that
was deleted stays deleted, and a change that another names is no head, whichever comes first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...errors import FormatError
from ...ids import PackNumber, WriterId
from ..formats.chunktable import PackedChunk
from ..formats.journal import (
    NO_ID,
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
