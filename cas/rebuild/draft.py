"""An index in the making: what a rebuild fills, beside the old one, and finishes.

Journals are read in any order, so what depends on an order waits until all of them were read: in
`scratch`, and rows of chunks in sorted runs (`rowsort`). Nothing here is durable before `finish`: a
rebuild that was interrupted begins anew.

Concurrency: synchronous, in whichever thread. One writes at a time, others may read meanwhile: both
environments have LMDB's locks, without which a reader's pages would be used again under it.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from ...ids import BackendId, ObjectId, PackId, PackNumber, StoreId, WriterId
from ..encryption.storecipher import CLEAR, StoreCipher
from ..formats.chunktable import Kind, check_table
from ..formats.journal import (
    NOWHERE,
    Compacted,
    ListedEntry,
    PackDeleted,
    PackListed,
    PackStored,
    ShardPlaced,
    listed_pack,
)
from ..index.apply import apply_entry
from ..index.environment import FORMAT, guarded, make_environment
from ..index.lookups import Lookups
from ..index.records import NUMBER, RECORD, WRITER, LostRecords, PackRecord, ShardState
from ..index.sums import encode_sums, sums_of_table
from .foundpacks import Found
from .rowsort import ROW, Rows, RowSorter
from .scratch import Scratch

ROWS: Final = 200_000
"""Rows of chunks that go into the index in one transaction."""


class Draft(Lookups):
    """A new index in the folder `path`, whose former contents go."""

    def __init__(self, path: str, store: StoreId, cipher: StoreCipher = CLEAR) -> None:
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(path, mode=0o700)
        try:
            super().__init__(path, make_environment(path, private=True))
            self.ids = cipher.ids
            self._overhead = cipher.overhead
            self._encrypted = cipher.encrypted
            self._begin(store)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def _begin(self, store: StoreId) -> None:
        self._scratch_path = os.path.join(self.path, "scratch")
        self.scratch = Scratch(self._scratch_path)
        self._sorter = RowSorter(os.path.join(self._scratch_path, "rows"))
        self._next = 1
        self._dead: list[int] = []
        self._unplaced = False
        self.missing_shards = 0
        with self._writing() as txn:
            txn.put(b"store", bytes(store), db=self._dbs.meta)
            txn.put(b"format", FORMAT, db=self._dbs.meta)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Any]:
        with guarded(self.path, "index.rebuild"), self._env.begin(write=True) as txn:
            yield txn

    @property
    def chunks(self) -> int:
        """Rows of chunks written."""
        with self._reading("chunks") as txn:
            return int(txn.stat(self._dbs.chunks)["entries"])

    def take(self, entries: Iterable[ListedEntry], time_ns: int) -> None:
        """Take over entries of a record of that time; ShardDamagedError for one that cannot be."""
        with self._writing() as txn:
            for entry in entries:
                match entry:
                    case Compacted():
                        time_ns = entry.time_ns
                        key = RECORD.pack(entry.writer, entry.seq)
                        txn.put(key, entry.digest, db=self._dbs.lost)
                    case PackListed():
                        self._take_pack(txn, entry)
                    case PackStored():
                        self._take_pack(txn, listed_pack(entry))
                    case ShardPlaced():
                        self.scratch.note_placed(entry, time_ns)
                    case PackDeleted():
                        # Its rows are on their way already, or to come: it goes at the end.
                        txn.put(entry.pack, b"", db=self._dbs.deleted)
                    case _:
                        apply_entry(self._dbs, txn, entry)

    def _take_pack(self, txn: Any, pack: PackListed) -> None:
        if txn.get(pack.pack, db=self._dbs.packids) is not None:
            return
        table = check_table(pack.table, pack.length, self._overhead)
        number, self._next = self._next, self._next + 1
        self._unplaced |= NOWHERE in pack.locations
        record = PackRecord(
            PackNumber(number),
            pack.pack,
            pack.k,
            pack.m,
            pack.kind,
            pack.length,
            pack.shard,
            int(table["raw"].sum(dtype=np.uint64)),
            len(table),
            0,
            pack.locations,
            (ShardState.GOOD,) * len(pack.locations),
        )
        txn.put(NUMBER.pack(number), record.encode(), db=self._dbs.packs)
        txn.put(pack.pack, NUMBER.pack(number), db=self._dbs.packids)
        txn.put(NUMBER.pack(number), encode_sums(sums_of_table(table)), db=self._dbs.sums)
        self._sorter.add(number, table)
        if pack.kind is Kind.OBJECT:
            self.scratch.note_tables([(number, pack.table)])

    def unknown_packs(self, after: PackId | None, count: int) -> tuple[list[Found], PackId | None]:
        """Packs among the next `count` whose shards were found that no record names or deletes,
        and the last one looked at, None at the end."""
        ids = self.scratch.packs(after, count)
        with self._reading("packids") as txn:
            unknown = [
                id_
                for id_ in ids
                if txn.get(id_) is None and txn.get(id_, db=self._dbs.deleted) is None
            ]
        found = [Found(i, *self.scratch.scheme(i), self.scratch.holders(i)) for i in unknown]
        return found, ids[-1] if len(ids) == count else None

    def note_deleted(self, pack: PackId) -> None:
        """A pack that was deleted, whoever says so."""
        with self._writing() as txn:
            txn.put(pack, b"", db=self._dbs.deleted)

    def note_made_good(self, records: Iterable[tuple[WriterId, int]]) -> None:
        """Lost records whose entries others have."""
        with self._writing() as txn:
            for writer, seq in records:
                txn.put(RECORD.pack(writer, seq), b"", db=self._dbs.lost)

    def note_gaps(self, gaps: Iterable[LostRecords]) -> None:
        """Lost records that this index is without."""
        with self._writing() as txn:
            for gap in gaps:
                txn.put(*gap.row(), db=self._dbs.gaps)

    @property
    def pack_count(self) -> int:
        """Packs that are not deleted."""
        with self._reading("packs") as txn:
            return int(txn.stat(self._dbs.packs)["entries"])

    def note_writer(self, writer: WriterId, seq: int, digest: bytes) -> None:
        """The last record of a writer that was found."""
        with self._writing() as txn:
            txn.put(writer, WRITER.pack(seq, digest), db=self._dbs.writers)

    def settle_writers(self) -> None:
        """Note of each writer the last record that a segment stands for, where that is its last."""
        with self._writing() as txn:
            for writer, seq, digest in _last_of_each(txn, self._dbs.lost):
                data = txn.get(writer, db=self._dbs.writers)
                if data is None or WRITER.unpack(data)[0] < seq:
                    txn.put(writer, WRITER.pack(seq, digest), db=self._dbs.writers)

    def settle_packs(self, was_listed: Callable[[BackendId], bool]) -> None:
        """Drop deleted packs, and say of the others where each shard is.

        A listing is believed before a record, where `was_listed` says that there is one of a
        backend; then a later record before an earlier one.
        """
        after = 0
        if not self._unplaced and not self.scratch.has_places:
            self._drop_deleted()
            return
        while records := self._packs_after(after, 1000):
            with self._writing() as txn:
                for record in records:
                    key = NUMBER.pack(record.number)
                    if txn.get(record.id, db=self._dbs.deleted) is not None:
                        self._drop(txn, record.id, key)
                    else:
                        settled = self._settled(record, was_listed)
                        txn.put(key, settled.encode(), db=self._dbs.packs)
            after = records[-1].number

    def _drop_deleted(self) -> None:
        """The same where all packs are where their records say."""
        for pack in self.deleted():
            with self._writing() as txn:
                key = txn.get(pack, db=self._dbs.packids)
                if key is not None:
                    self._drop(txn, pack, bytes(key))

    def _drop(self, txn: Any, pack: PackId, key: bytes) -> None:
        txn.delete(key, db=self._dbs.packs)
        txn.delete(key, db=self._dbs.sums)
        txn.delete(pack, db=self._dbs.packids)
        self._dead.append(NUMBER.unpack(key)[0])

    def _settled(self, record: PackRecord, was_listed: Callable[[BackendId], bool]) -> PackRecord:
        placed = self.scratch.placed(record.id)
        holders = self.scratch.holders(record.id)
        backends, states = [], []
        for index, stored in enumerate(record.backends):
            found = holders.get(index, [])
            # That a shard was moved takes no key to record, and any backend may have forged it.
            still = self._encrypted and stored in found
            said = stored if still else placed.get(index, stored)
            if found and said not in found and (was_listed(said) or not any(said)):
                said = found[0]
            there = said in found or (any(said) and not was_listed(said))
            backends.append(said)
            states.append(ShardState.GOOD if there else ShardState.MISSING)
            self.missing_shards += not there
        return replace(record, backends=tuple(backends), states=tuple(states))

    def write_chunks(self) -> None:
        """Write the rows of all packs that are left, and the next pack's number."""
        dead = np.array(self._dead, np.uint32)
        for rows in self._sorter.sorted(ROWS):
            self._write_rows(rows[~np.isin(rows["pack"], dead)] if len(dead) else rows)
        with self._writing() as txn:
            txn.put(b"next_pack", NUMBER.pack(self._next), db=self._dbs.meta)

    def _write_rows(self, rows: Rows) -> None:
        data, size = rows.tobytes(), ROW.itemsize
        pairs = (
            (data[at : at + 32], data[at + 32 : at + size]) for at in range(0, len(data), size)
        )
        with self._writing() as txn, txn.cursor(db=self._dbs.chunks) as cursor:
            cursor.putmulti(pairs)

    def put_objects(self, objects: Mapping[ObjectId, bytes]) -> None:
        """Mirror objects."""
        with self._writing() as txn, txn.cursor(db=self._dbs.objects) as cursor:
            cursor.putmulti(sorted(objects.items()))

    def finish(self) -> None:
        """Make the index durable and close it; nothing of the scratch is left."""
        self._sorter.close()
        self.scratch.close()
        shutil.rmtree(self._scratch_path)
        with guarded(self.path, "meta"):
            self._env.sync(True)
        self._env.close()

    def abandon(self) -> None:
        """Close it and remove it all."""
        self._sorter.close()
        self.scratch.close()
        self._env.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _last_of_each(txn: Any, lost: Any) -> Iterator[tuple[bytes, int, bytes]]:
    """The last row of each writer in `lost`: writer, number, digest."""
    with txn.cursor(db=lost) as cursor:
        there = cursor.last()
        while there:
            writer, seq = RECORD.unpack(cursor.key())
            yield writer, seq, bytes(cursor.value())
            there = cursor.set_range(RECORD.pack(writer, 0)) and cursor.prev()
