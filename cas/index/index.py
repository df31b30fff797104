"""The index: an LMDB environment that knows where every chunk lies.

It is a cache of the journals and can be rebuilt from the backends. Sub-databases and their values
are specified in `docs/format.md`, Index.

Concurrency: every method is synchronous and does one transaction, so nothing of LMDB crosses an
`await`. Reads may run in any thread. LMDB allows one write transaction at a time in all
processes and queues the others without a time limit; so writes never run in the event loop:
`write` sends them to a worker thread, each begun and ended in one call there, one at a time.
One process may open an environment once only: `Index.open` hands out the one that is there, to
event loops in several threads too; so nothing of trio's is kept here.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from ...errors import ConflictError, IndexDamagedError, ModelFloatError
from ...ids import ChunkId, ObjectId, PackNumber, StoreId, WriterId
from ..formats.journal import JournalEntry, Record, ShardPlaced
from .apply import apply_entry, doomed_packs, go_on, mark_deleted, narrow_gap, news
from .checknotes import Check, note_check, note_damage
from .chunkrows import Row, rows_of_packs
from .environment import FORMAT, Environment, guarded, make_environment, open_environment
from .lmdbfile import file_of
from .lookups import Lookups
from .records import NUMBER, RECORD, WRITER, Location, PackRecord, ShardState
from .sourcerows import SourceRows
from .sums import Sums, encode_sums

PlaceRow = tuple[ChunkId, Location]

PASS: Final = 100_000
"""Rows of `chunks` that are looked at, and deleted, in one transaction: some 10 MB of pages."""

_T = TypeVar("_T")

_open: dict[str, "Index"] = {}
_open_lock: Final = threading.Lock()


class Index(Lookups):
    """One open index. `Index.open` and `close` count: the environment closes with its last user,
    and a read in a thread is one, for nobody may wait for it any more.

    `read_only` says why nothing can be written here, "" where it can.
    """

    def __init__(self, path: str, environment: Environment) -> None:
        super().__init__(path, environment)
        self.read_only = environment.read_only
        self._users = 1
        self._file = file_of(path)
        self._writing = threading.Lock()
        self.makes_room: Callable[[Exception], bool] = lambda _: False
        """Makes room where a full disk is behind an error, and says whether it did; blocks."""
        self.sources = SourceRows(
            self._dbs.sources, lambda: self._reading("sources"), self._write_transaction
        )

    @classmethod
    def create(cls, path: str, store: StoreId) -> "Index":
        """Make the index of a new store in the directory `path`."""
        os.makedirs(path, exist_ok=True)
        path = os.path.realpath(path)
        with _open_lock:
            index = _open[path] = cls(path, make_environment(path))
        with index._write_transaction() as txn:
            txn.put(b"store", bytes(store), db=index._dbs.meta)
            txn.put(b"format", FORMAT, db=index._dbs.meta)
            txn.put(b"next_pack", NUMBER.pack(1), db=index._dbs.meta)
        return index

    @classmethod
    def open(cls, path: str) -> "Index":
        """Open the index in `path`. FormatError, IndexDamagedError or UnsupportedError."""
        path = os.path.realpath(path)
        with _open_lock:
            if path in _open:
                _open[path]._users += 1
                return _open[path]
            if not os.path.exists(os.path.join(path, "data.mdb")):
                raise IndexDamagedError(
                    f"no index at {path}: if this is a store, run `modelfloat rebuild-index`"
                )
            file = file_of(path)
            index = _open[path] = cls(path, open_environment(path))
            index._file = file
            return index

    @staticmethod
    def forget(path: str) -> None:
        """Open another index at `path` from now on: the one that was there has another name."""
        with _open_lock:
            _open.pop(os.path.realpath(path), None)

    def close(self) -> None:
        """Let go of the environment."""
        with _open_lock:
            self._users -= 1
            if self._users == 0:
                if _open.get(self.path) is self:
                    del _open[self.path]
                self._env.close()

    def check_current(self) -> None:
        """ConflictError where another process has put a new index in the place of this one."""
        if file_of(self.path) != self._file:
            raise ConflictError(
                f"the index at {self.path} was made anew meanwhile: nothing was changed; open the "
                "store again, or run the command again"
            )

    @contextlib.contextmanager
    def _reading(self, database: str) -> Iterator[Any]:
        with _open_lock:
            self._users += 1
        try:
            with super()._reading(database) as txn:
                yield txn
        finally:
            self.close()

    async def write(self, job: Callable[..., _T], *args: Any) -> _T:
        """Run `job`, one of the writing methods below, in a thread; again where that finds no room,
        and `makes_room` makes some."""
        import trio  # here, because who only reads the index may have no event loop

        def run() -> _T:
            try:
                return job(*args)
            except IndexDamagedError as error:
                if not self.makes_room(error):
                    raise
            return job(*args)

        return await trio.to_thread.run_sync(run)

    # Only through `write`

    def apply(self, record: Record, objects: Mapping[ObjectId, bytes]) -> None:
        """Take over one journal record and the objects it brings, in one durable transaction.

        Rows of packs that it deletes go first, in transactions of their own.
        """
        self._drop_rows(record.entries)
        with self._write_transaction() as txn:
            self._take(txn, record.entries, objects)
            narrow_gap(self._dbs, txn, record.writer, record.seq)
            txn.put(record.writer, WRITER.pack(record.seq, record.digest), db=self._dbs.writers)
            go_on(self._dbs, txn, record.writer)

    def apply_part(
        self, entries: Sequence[JournalEntry], objects: Mapping[ObjectId, bytes]
    ) -> None:
        """Take over what a segment says of one record, before all of it is applied."""
        self._drop_rows(entries)
        with self._write_transaction() as txn:
            self._take(txn, entries, objects)

    def _take(
        self, txn: Any, entries: Sequence[JournalEntry], objects: Mapping[ObjectId, bytes]
    ) -> None:
        for id_, data in objects.items():
            txn.put(id_, data, db=self._dbs.objects)
        for entry in news(self._dbs, txn, entries):
            apply_entry(self._dbs, txn, entry)

    def place(self, placed: Sequence[ShardPlaced]) -> None:
        """Note places of shards that came before their packs."""
        with self._write_transaction() as txn:
            for entry in placed:
                apply_entry(self._dbs, txn, entry)

    def _drop_rows(self, entries: Sequence[JournalEntry]) -> None:
        with self._reading("packids") as txn:
            packs = doomed_packs(self._dbs, txn, entries)
        last: Row | None = None
        if packs:
            # First: nobody must take for damage what is half gone, beside us or after a crash.
            with self._write_transaction() as txn:
                mark_deleted(self._dbs, txn, entries)
        while packs:
            with self._reading("chunks") as txn:
                doomed, last = rows_of_packs(txn, self._dbs.chunks, packs, last, PASS)
            if doomed:
                with self._write_transaction() as txn:
                    for id_, place in doomed:
                        txn.delete(id_, place, db=self._dbs.chunks)
            if last is None:
                return

    def put_objects(self, objects: Mapping[ObjectId, bytes]) -> None:
        """Mirror objects that were read from their packs."""
        with self._write_transaction() as txn:
            for id_, data in objects.items():
                txn.put(id_, data, db=self._dbs.objects)

    def drop_objects(self, ids: Sequence[ObjectId]) -> None:
        """Take objects out of the mirror."""
        with self._write_transaction() as txn:
            for id_ in ids:
                txn.delete(id_, db=self._dbs.objects)

    def note_checks(self, checks: Sequence[Check]) -> None:
        """Remember what verify found of the shards of packs, and when."""
        with self._write_transaction() as txn:
            for check in checks:
                note_check(txn, self._dbs.packs, check)

    def note_damage(self, states: Mapping[tuple[PackNumber, int], ShardState]) -> None:
        """Remember what a read found of shards, by pack and index; it is no check of the pack."""
        with self._write_transaction() as txn:
            for (number, index), state in states.items():
                note_damage(txn, self._dbs.packs, number, index, state)

    def change_rows(self, missing: Sequence[PlaceRow], wrong: Sequence[PlaceRow]) -> None:
        """Put back places of chunks that are missing, and take away those that are wrong."""
        with self._write_transaction() as txn, txn.cursor(db=self._dbs.chunks) as cursor:
            for id_, place in wrong:
                txn.delete(id_, place.encode(), db=self._dbs.chunks)
            cursor.putmulti(sorted((id_, place.encode()) for id_, place in missing))

    def note_sums(self, counted: Mapping[PackRecord, Sums]) -> None:
        """Keep the sums of packs that were counted, of those that are there still."""
        with self._write_transaction() as txn:
            for pack, sums in counted.items():
                key = NUMBER.pack(pack.number)
                if txn.get(pack.id, db=self._dbs.packids) == key:
                    txn.put(key, encode_sums(sums), db=self._dbs.sums)

    def note_made_good(self, records: Sequence[tuple[WriterId, int]]) -> None:
        """Records of which no copy is left, whose entries others have now."""
        with self._write_transaction() as txn:
            for writer, seq in records:
                txn.put(RECORD.pack(writer, seq), b"", db=self._dbs.lost)

    def accept_gaps(self) -> None:
        """From now on nothing waits for refs that lost records may have made."""
        accepted = [replace(gap, open=False) for gap in self.gaps() if gap.open]
        with self._write_transaction() as txn:
            for gap in accepted:
                txn.put(*gap.row(), db=self._dbs.gaps)

    @contextlib.contextmanager
    def _write_transaction(self) -> Iterator[Any]:
        if self.read_only:
            raise ModelFloatError(f"the index at {self.path} is read-only: {self.read_only}")
        with guarded(self.path, "meta` or `packs"), self._writing:
            # A reader that was killed would keep every page from being used again.
            self._env.reader_check()
            with self._env.begin(write=True) as txn:
                yield txn
