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
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, TypeVar

import lmdb
import trio

from ..errors import IndexDamagedError, ModelFloatError, NotFoundError
from ..ids import ChunkId, ObjectId, PackId, PackNumber, StoreId, WriterId
from .apply import apply_entry, chunk_rows, doomed_packs
from .chunkrows import Row, rows_after, rows_of_packs
from .environment import FORMAT, Environment, make_environment, open_environment
from .formats.chunktable import PackedChunk
from .formats.journal import NO_ID, Record, RefChanged, RefKind, decode_ref
from .records import HEAD, NUMBER, REFLOG, Location, PackRecord, ShardState
from .refnames import RefHead, RepoName, ref_key, ref_of_key, repo_prefix

BATCH: Final = 20_000
"""Rows that a pass over all chunks reads or deletes in one transaction."""

_WRITER: Final = struct.Struct("<Q32s")
_T = TypeVar("_T")

_open: dict[str, "Index"] = {}
_open_lock: Final = threading.Lock()


class Index:
    """One open index. `Index.open` and `close` count: the environment closes with its last user.

    `read_only` says why nothing can be written here, "" where it can.
    """

    def __init__(self, path: str, environment: Environment) -> None:
        self.path = path
        self.read_only = environment.read_only
        self._env = environment.env
        self._dbs = environment.dbs
        self._users = 1
        self._writing = threading.Lock()

    @classmethod
    def create(cls, path: str, store: StoreId) -> "Index":
        """Make the index of a new store in the directory `path`."""
        os.makedirs(path, exist_ok=True)
        path = os.path.realpath(path)
        with _open_lock:
            index = _open[path] = cls(path, make_environment(path))
        with index._env.begin(write=True, db=index._dbs.meta) as txn:
            txn.put(b"store", bytes(store))
            txn.put(b"format", FORMAT)
            txn.put(b"next_pack", NUMBER.pack(1))
        return index

    @classmethod
    def open(cls, path: str) -> "Index":
        """Open the index in `path`. NotFoundError, FormatError or IndexDamagedError."""
        path = os.path.realpath(path)
        with _open_lock:
            if path in _open:
                _open[path]._users += 1
                return _open[path]
            if not os.path.exists(os.path.join(path, "data.mdb")):
                raise NotFoundError(f"there is no index at {path}: is this a store?")
            index = _open[path] = cls(path, open_environment(path))
            return index

    def close(self) -> None:
        """Let go of the environment."""
        with _open_lock:
            self._users -= 1
            if self._users == 0:
                _open.pop(self.path, None)
                self._env.close()

    @property
    def store(self) -> StoreId:
        """The id of the store this index belongs to."""
        with self._env.begin(db=self._dbs.meta) as txn:
            return StoreId(bytes(txn.get(b"store") or b""))

    def used(self) -> tuple[int, int]:
        """Bytes in use, and how many the environment has room for."""
        pages: int = self._env.info()["last_pgno"] + 1
        return pages * self._env.stat()["psize"], self._env.info()["map_size"]

    async def write(self, job: Callable[..., _T], *args: Any) -> _T:
        """Run `job`, one of the writing methods below, in a worker thread."""
        return await trio.to_thread.run_sync(lambda: job(*args))

    # Reading

    def locate(self, ids: Sequence[ChunkId]) -> list[list[Location]]:
        """All known places of each chunk, in one transaction; an empty list where there is none."""
        found: list[list[Location]] = []
        with self._env.begin(db=self._dbs.chunks) as txn, txn.cursor() as cursor:
            for id_ in ids:
                places: list[Location] = []
                if cursor.set_key(id_):
                    places = [Location.decode(value) for value in cursor.iternext_dup()]
                found.append(places)
        return found

    def each_chunk(self, batch: int = BATCH) -> Iterator[tuple[ChunkId, list[Location]]]:
        """Every chunk with all its places, in the order of ids; read in batches of rows.

        No transaction stays open between batches: a chunk comes once, with the places that it had
        when its batch was read.
        """
        for id_, rows in groupby(self._rows(batch), key=itemgetter(0)):
            yield ChunkId(id_), [Location.decode(value) for _, value in rows]

    def _rows(self, batch: int) -> Iterator[Row]:
        rows = self._rows_after(None, batch)
        while rows:
            yield from rows
            rows = self._rows_after(rows[-1], batch)

    def _rows_after(self, last: Row | None, count: int) -> list[Row]:
        with self._env.begin() as txn:
            return rows_after(txn, self._dbs.chunks, last, count)

    def pack(self, number: PackNumber) -> PackRecord | None:
        """What is known of a pack, by its number."""
        with self._env.begin(db=self._dbs.packs) as txn:
            data = txn.get(NUMBER.pack(number))
        return None if data is None else PackRecord.decode(number, data)

    def pack_of_id(self, id_: PackId) -> PackRecord | None:
        """What is known of a pack, by its id."""
        with self._env.begin() as txn:
            number = txn.get(id_, db=self._dbs.packids)
            if number is None:
                return None
            data = txn.get(number, db=self._dbs.packs)
        return None if data is None else PackRecord.decode(NUMBER.unpack(number)[0], data)

    def packs(self, batch: int = 1000) -> Iterator[PackRecord]:
        """All packs by number; read in batches, so no transaction stays open between them."""
        after = 0
        while True:
            records = self._packs_after(after, batch)
            yield from records
            if len(records) < batch:
                return
            after = records[-1].number

    def _packs_after(self, number: int, count: int) -> list[PackRecord]:
        records = []
        with self._env.begin(db=self._dbs.packs) as txn, txn.cursor() as cursor:
            if cursor.set_range(NUMBER.pack(number + 1)):
                for key, value in cursor:
                    records.append(PackRecord.decode(NUMBER.unpack(key)[0], value))
                    if len(records) == count:
                        break
        return records

    def object(self, id_: ObjectId) -> bytes | None:
        """An object's bytes from the local mirror."""
        with self._env.begin(db=self._dbs.objects) as txn:
            data: bytes | None = txn.get(id_)
        return data

    def refs(self, repo: RepoName | None = None) -> list[RefHead]:
        """All heads, or those of one repository, sorted by vendor, name, kind and ref."""
        prefix = b"" if repo is None else repo_prefix(repo)
        heads = []
        with self._env.begin(db=self._dbs.refs) as txn, txn.cursor() as cursor:
            if not cursor.set_range(prefix) if prefix else not cursor.first():
                return []
            for key, value in cursor:
                if not key.startswith(prefix):
                    break
                name, kind, ref = ref_of_key(key)
                change, commit, time_ns = HEAD.unpack(value)
                heads.append(RefHead(name, kind, ref, ObjectId(commit), change, time_ns))
        return heads

    def ref(self, repo: RepoName, kind: RefKind, ref: str) -> list[RefHead]:
        """The heads of one ref: none, one, or several after concurrent updates."""
        with self._env.begin(db=self._dbs.refs) as txn, txn.cursor() as cursor:
            if not cursor.set_key(ref_key(repo, kind, ref)):
                return []
            values = list(cursor.iternext_dup())
        found = [HEAD.unpack(value) for value in values]
        return [RefHead(repo, kind, ref, ObjectId(c), change, t) for change, c, t in found]

    def reflog(self, since_ns: int = 0, batch: int = 1000) -> Iterator[RefChanged]:
        """Every ref change from a time on (ns since the epoch), by time; read in batches.

        In an index that was made by a release without a reflog, changes since it was brought up to
        date only; `rebuild-index` finds the others.
        """
        after = REFLOG.pack(max(0, since_ns), NO_ID)
        while rows := self._changes_after(after, batch):
            yield from (decode_ref(value) for _, value in rows)
            after = rows[-1][0] + b"\0"

    def _changes_after(self, key: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.reflog is None:
            return []
        with self._env.begin(db=self._dbs.reflog) as txn, txn.cursor() as cursor:
            return list(islice(cursor.iternext(), count)) if cursor.set_range(key) else []

    def writer(self, writer: WriterId) -> tuple[int, bytes]:
        """Sequence number and digest of the writer's last record that was applied here."""
        with self._env.begin(db=self._dbs.writers) as txn:
            data = txn.get(writer)
        if data is None:
            return 0, NO_ID
        seq, digest = _WRITER.unpack(data)
        return seq, digest

    def writers(self) -> list[WriterId]:
        """All writers whose records were applied here."""
        with self._env.begin(db=self._dbs.writers) as txn, txn.cursor() as cursor:
            return [WriterId(bytes(key)) for key in cursor.iternext(keys=True, values=False)]

    # Writing; only through `write`

    def apply(self, record: Record, objects: Mapping[ObjectId, bytes]) -> None:
        """Take over one journal record and the objects it brings, in one durable transaction.

        Rows of packs that it deletes go first, in transactions of their own.
        """
        self._drop_rows(record)
        with self._write_transaction() as txn:
            for id_, data in objects.items():
                txn.put(id_, data, db=self._dbs.objects)
            for entry in record.entries:
                apply_entry(self._dbs, txn, entry)
            txn.put(record.writer, _WRITER.pack(record.seq, record.digest), db=self._dbs.writers)

    def _drop_rows(self, record: Record) -> None:
        with self._env.begin() as txn:
            packs = doomed_packs(self._dbs, txn, record.entries)
        last: Row | None = None
        while packs:
            with self._env.begin() as txn:
                doomed, last = rows_of_packs(txn, self._dbs.chunks, packs, last, BATCH)
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

    def note_check(self, number: PackNumber, states: Sequence[ShardState], checked_ns: int) -> None:
        """Remember what verify found of a pack's shards, and when (ns since the epoch)."""
        with self._write_transaction() as txn:
            data = txn.get(NUMBER.pack(number), db=self._dbs.packs)
            if data is not None:
                record = PackRecord.decode(number, data)
                record = replace(record, states=tuple(states), checked_ns=checked_ns)
                txn.put(NUMBER.pack(number), record.encode(), db=self._dbs.packs)

    def restore_places(self, number: PackNumber, chunks: Sequence[PackedChunk]) -> None:
        """Put back the places of a pack's chunks, as its chunk table has them."""
        with self._write_transaction() as txn, txn.cursor(db=self._dbs.chunks) as cursor:
            cursor.putmulti(sorted(chunk_rows(number, chunks)))

    @contextlib.contextmanager
    def _write_transaction(self) -> Iterator[Any]:
        if self.read_only:
            raise ModelFloatError(f"the index at {self.path} is read-only: {self.read_only}")
        try:
            with self._writing, self._env.begin(write=True) as txn:
                yield txn
        except lmdb.MapFullError as error:
            raise IndexDamagedError(f"the index at {self.path} is full: {error}") from error
        except lmdb.DiskError as error:
            raise IndexDamagedError(
                f"the index at {self.path} cannot be written ({error}): is the disk full?"
            ) from error
