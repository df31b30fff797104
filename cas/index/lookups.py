"""What the index answers: places of chunks, packs, objects, refs and their log, writers.

Every method is one transaction, or one for each batch of rows, so none stays open while the caller
works. What cannot be read or contradicts itself is IndexDamagedError, naming the sub-database.
"""

import contextlib
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final

from ...ids import ChunkId, ObjectId, PackId, PackNumber, StoreId, WriterId
from ..formats.chunkids import PLAIN
from ..formats.journal import NO_ID, NOWHERE, RefChanged, RefKind, decode_ref
from ..refnames import RefHead, RepoName, ref_key, ref_of_key, repo_prefix
from .apply import is_known
from .chunkrows import Row, rows_after
from .environment import Environment, guarded
from .records import (
    HEAD,
    LOCATION_SIZE,
    NUMBER,
    RECORD,
    REFLOG,
    WRITER,
    Location,
    LostRecords,
    PackRecord,
)
from .sums import Sums, decode_sums

BATCH: Final = 20_000
"""Rows that a pass over all chunks reads or deletes in one transaction."""


class Lookups:
    """The reading half of an index."""

    def __init__(self, path: str, environment: Environment) -> None:
        self.path = path
        self._env = environment.env
        self._dbs = environment.dbs
        self.ids = PLAIN
        """What names the store's chunks and objects."""

    @contextlib.contextmanager
    def _reading(self, database: str) -> Iterator[Any]:
        """A read transaction on one sub-database; what is read must be decoded within."""
        with (
            guarded(self.path, database),
            self._env.begin(db=getattr(self._dbs, database)) as txn,
        ):
            yield txn

    @property
    def store(self) -> StoreId:
        """The id of the store this index belongs to."""
        with self._reading("meta") as txn:
            return StoreId(bytes(txn.get(b"store") or b""))

    @property
    def next_pack(self) -> PackNumber:
        """The number that the next pack will have: all that are known have lower ones."""
        with self._reading("meta") as txn:
            return PackNumber(NUMBER.unpack(txn.get(b"next_pack"))[0])

    def used(self) -> tuple[int, int]:
        """Bytes in use, and how many the environment has room for."""
        pages: int = self._env.info()["last_pgno"] + 1
        return pages * self._env.stat()["psize"], self._env.info()["map_size"]

    def locate(self, ids: Sequence[ChunkId]) -> list[list[Location]]:
        """All known places of each chunk, in one transaction; an empty list where there is none."""
        found: list[list[Location]] = []
        with self._reading("chunks") as txn, txn.cursor() as cursor:
            for id_ in ids:
                places: list[Location] = []
                if cursor.set_key(id_):
                    places = [Location.decode(value) for value in cursor.iternext_dup()]
                found.append(places)
        return found

    def rows(self, ids: Sequence[bytes]) -> bytes:
        """Every place of the chunks `ids`, which must be sorted: id and location, packed.

        52 bytes a place, places of one chunk together; for work on many chunks at once.
        """
        with self._reading("chunks") as txn, txn.cursor() as cursor:
            return bytes(
                cursor.getmulti(ids, dupdata=True, dupfixed_bytes=LOCATION_SIZE, keyfixed=True)
            )

    def each_chunk(self, batch: int = BATCH) -> Iterator[tuple[ChunkId, list[Location]]]:
        """Every chunk with all its places, in the order of ids; read in batches of rows.

        No transaction stays open between batches: a chunk comes once, with the places that it had
        when its batch was read.
        """
        for id_, rows in groupby(self._rows(batch), key=itemgetter(0)):
            with guarded(self.path, "chunks"):
                places = [Location.decode(value) for _, value in rows]
            yield ChunkId(id_), places

    def _rows(self, batch: int) -> Iterator[Row]:
        rows = self._rows_after(None, batch)
        while rows:
            yield from rows
            rows = self._rows_after(rows[-1], batch)

    def _rows_after(self, last: Row | None, count: int) -> list[Row]:
        with self._reading("chunks") as txn:
            return rows_after(txn, self._dbs.chunks, last, count)

    def pack(self, number: PackNumber) -> PackRecord | None:
        """What is known of a pack, by its number."""
        with self._reading("packs") as txn:
            data = txn.get(NUMBER.pack(number))
            return None if data is None else PackRecord.decode(number, data)

    def pack_of_id(self, id_: PackId) -> PackRecord | None:
        """What is known of a pack, by its id."""
        with self._reading("packs") as txn:
            number = txn.get(id_, db=self._dbs.packids)
            data = None if number is None else txn.get(number)
            return None if data is None else PackRecord.decode(NUMBER.unpack(number)[0], data)

    def packs(self, batch: int = 1000, after: int = 0) -> Iterator[PackRecord]:
        """All packs by number, those behind number `after`; read in batches, so no transaction
        stays open between them."""
        while True:
            records = self._packs_after(after, batch)
            yield from records
            if len(records) < batch:
                return
            after = records[-1].number

    def _packs_after(self, number: int, count: int) -> list[PackRecord]:
        records = []
        with self._reading("packs") as txn, txn.cursor() as cursor:
            if cursor.set_range(NUMBER.pack(number + 1)):
                for key, value in cursor:
                    records.append(PackRecord.decode(NUMBER.unpack(key)[0], value))
                    if len(records) == count:
                        break
        return records

    def incomplete(self) -> list[PackRecord]:
        """Packs that were stored without a shard which has no place yet, by number."""
        with self._reading("packs") as txn, txn.cursor() as cursor:
            rows = [(key, value) for key, value in cursor if PackRecord.may_lack(value)]
        found = [PackRecord.decode(NUMBER.unpack(key)[0], value) for key, value in rows]
        return [pack for pack in found if NOWHERE in pack.backends]

    def sums(self, packs: Sequence[PackRecord]) -> list[Sums | None]:
        """The sums over the chunks of each pack, by codec and element type; None where there are
        none, as after an upgrade (see `cas.uncounted`)."""
        if self._dbs.sums is None:
            return [None] * len(packs)
        with self._reading("sums") as txn:
            found = [txn.get(NUMBER.pack(pack.number)) for pack in packs]
            return [None if data is None else decode_sums(data) for data in found]

    def uncounted(self) -> list[PackRecord]:
        """Packs without sums."""
        if self._dbs.sums is not None:
            with self._reading("sums") as txn:
                # A pack's sums come and go with it: where there are as many, all have them.
                if txn.stat(self._dbs.sums)["entries"] == txn.stat(self._dbs.packs)["entries"]:
                    return []
        found: list[PackRecord] = []
        packs = self.packs()
        while batch := list(islice(packs, BATCH)):
            missing = zip(batch, self.sums(batch), strict=True)
            found += [pack for pack, sums in missing if sums is None]
        return found

    def object(self, id_: ObjectId) -> bytes | None:
        """An object's bytes from the local mirror."""
        with self._reading("objects") as txn:
            data: bytes | None = txn.get(id_)
        return data

    def object_ids(self, batch: int = BATCH) -> Iterator[list[ObjectId]]:
        """Ids of all mirrored objects, in order; read in batches."""
        after = b""
        while ids := self._object_ids_after(after, batch):
            yield ids
            after = ids[-1] + b"\0"

    def _object_ids_after(self, key: bytes, count: int) -> list[ObjectId]:
        with self._reading("objects") as txn, txn.cursor() as cursor:
            found = cursor.set_range(key)
            keys = islice(cursor.iternext(keys=True, values=False), count) if found else ()
            return [ObjectId(bytes(id_)) for id_ in keys]

    def objects(self, ids: Sequence[ObjectId]) -> list[bytes | None]:
        """The bytes of several objects from the local mirror, in one transaction."""
        with self._reading("objects") as txn:
            return [txn.get(id_) for id_ in ids]

    def refs(self, repo: RepoName | None = None) -> list[RefHead]:
        """All heads, or those of one repository, sorted by vendor, name, kind and ref."""
        prefix = b"" if repo is None else repo_prefix(repo)
        heads = []
        with self._reading("refs") as txn, txn.cursor() as cursor:
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
        with self._reading("refs") as txn, txn.cursor() as cursor:
            if not cursor.set_key(ref_key(repo, kind, ref)):
                return []
            found = [HEAD.unpack(value) for value in cursor.iternext_dup()]
        return [RefHead(repo, kind, ref, ObjectId(c), change, t) for change, c, t in found]

    def reflog(self, since_ns: int = 0, batch: int = 1000) -> Iterator[RefChanged]:
        """Every ref change from a time on (ns since the epoch), by time; read in batches.

        In an index that was made by a release without a reflog, changes since it was brought up to
        date only; `rebuild-index` finds the others.
        """
        after = REFLOG.pack(max(0, since_ns), NO_ID)
        while rows := self._changes_after(after, batch):
            after = rows[-1][0] + b"\0"
            with guarded(self.path, "reflog"):
                changes = [decode_ref(value) for _, value in rows]
            yield from changes

    def _changes_after(self, key: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.reflog is None:
            return []
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            return list(islice(cursor.iternext(), count)) if cursor.set_range(key) else []

    def change(self, time_ns: int, id_: bytes) -> RefChanged | None:
        """The ref change of that time and id; None in an index that does not know it any more."""
        if self._dbs.reflog is None:
            return None
        with self._reading("reflog") as txn:
            data = txn.get(REFLOG.pack(max(0, time_ns), id_))
            return None if data is None else decode_ref(data)

    def reflog_back(self, batch: int = 1000) -> Iterator[RefChanged]:
        """Every ref change that is known, the latest first; read in batches."""
        before: bytes | None = None
        while rows := self._changes_before(before, batch):
            before = rows[-1][0]
            with guarded(self.path, "reflog"):
                changes = [decode_ref(value) for _, value in rows]
            yield from changes

    def _changes_before(self, key: bytes | None, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.reflog is None:
            return []
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            behind = key is not None and cursor.set_range(key)
            found = cursor.prev() if behind else cursor.last()
            return list(islice(cursor.iterprev(), count)) if found else []

    def is_superseded(self, change: bytes) -> bool:
        """Whether a change of that id is named by another as its previous one."""
        with self._reading("superseded") as txn:
            return txn.get(change) is not None

    def last_change_ns(self) -> int:
        """The latest time of any ref change, ns since the epoch; 0 where none is known."""
        if self._dbs.reflog is None:
            return 0
        with self._reading("reflog") as txn, txn.cursor() as cursor:
            return int(REFLOG.unpack(cursor.key())[0]) if cursor.last() else 0

    def writer(self, writer: WriterId) -> tuple[int, bytes]:
        """Sequence number and digest of the writer's last record that was applied here."""
        with self._reading("writers") as txn:
            data = txn.get(writer)
            seq, digest = (0, NO_ID) if data is None else WRITER.unpack(data)
        return seq, digest

    def writers(self) -> list[WriterId]:
        """All writers whose records were applied here."""
        with self._reading("writers") as txn, txn.cursor() as cursor:
            return [WriterId(bytes(key)) for key in cursor.iternext(keys=True, values=False)]

    def deleted(self, batch: int = 1000) -> Iterator[PackId]:
        """The ids of all packs that were deleted; read in batches."""
        after = b""
        while keys := self._deleted_after(after, batch):
            yield from map(PackId, keys)
            after = keys[-1] + b"\0"

    def _deleted_after(self, key: bytes, count: int) -> list[bytes]:
        if self._dbs.deleted is None:
            return []
        with self._reading("deleted") as txn, txn.cursor() as cursor:
            if not cursor.set_range(key):
                return []
            return list(islice(cursor.iternext(values=False), count))

    def is_deleted(self, pack: PackId) -> bool:
        """Whether a record deleted that pack."""
        if self._dbs.deleted is None:
            return False
        with self._reading("deleted") as txn:
            return txn.get(pack) is not None

    def is_made_good(self, writer: WriterId, seq: int) -> bool:
        """Whether that record is lost, or compacted, and what it said was written anew."""
        if self._dbs.lost is None:
            return False
        with self._reading("lost") as txn:
            return txn.get(RECORD.pack(writer, seq)) is not None

    def compacted(self, writer: WriterId, seqs: Sequence[int]) -> list[bytes]:
        """The digest of each of these records that segments stand for; b"" of any other."""
        if self._dbs.lost is None:
            return [b""] * len(seqs)
        with self._reading("lost") as txn:
            return [bytes(txn.get(RECORD.pack(writer, seq)) or b"") for seq in seqs]

    def each_compacted(self, batch: int = 1000) -> Iterator[tuple[WriterId, int, bytes]]:
        """Every record that a segment stands for: writer, number, digest; read in batches."""
        after = b""
        while rows := self._lost_after(after, batch):
            after = rows[-1][0] + b"\0"
            for key, digest in rows:
                if digest:
                    writer, seq = RECORD.unpack(key)
                    yield WriterId(writer), seq, digest

    def _lost_after(self, key: bytes, count: int) -> list[tuple[bytes, bytes]]:
        if self._dbs.lost is None:
            return []
        with self._reading("lost") as txn, txn.cursor() as cursor:
            return list(islice(cursor.iternext(), count)) if cursor.set_range(key) else []

    def uncovered(self, writer: WriterId, first: int, last: int) -> list[tuple[int, int]]:
        """The runs of records `first` to `last` that no others stand for, as segments do."""
        if self._dbs.lost is None:
            return [(first, last)]
        runs, start = [], first
        with self._reading("lost") as txn, txn.cursor() as cursor:
            if cursor.set_range(RECORD.pack(writer, first)):
                for key, _ in cursor:
                    of, seq = RECORD.unpack(key)
                    if of != writer or seq > last:
                        break
                    if seq > start:
                        runs.append((start, seq - 1))
                    start = seq + 1
        return [*runs, (start, last)] if start <= last else runs

    def knows(self, writer: WriterId, seq: int) -> bool:
        """Whether that record was applied, by itself or from a segment."""
        with self._reading("lost") as txn:
            return is_known(self._dbs, txn, writer, seq)

    def gaps(self) -> list[LostRecords]:
        """Records that were lost before this index was made: few, whatever the store's size."""
        if self._dbs.gaps is None:
            return []
        with self._reading("gaps") as txn, txn.cursor() as cursor:
            return [LostRecords.of_row(bytes(key), value) for key, value in cursor]
