"""What the index answers: places of chunks, packs, objects; of refs and records see its bases.

Every method is one transaction, or one for each batch of rows, so none stays open while the caller
works.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import Final

from ...ids import ChunkId, ObjectId, PackId, PackNumber
from ..formats.journal import NOWHERE
from .chunkrows import Row, rows_after
from .environment import guarded
from .recordlookups import RecordLookups
from .records import LOCATION_SIZE, NUMBER, Location, PackRecord
from .reflookups import RefLookups
from .sums import Sums, decode_sums

BATCH: Final = 20_000
"""Rows that a pass over all chunks reads or deletes in one transaction."""


class Lookups(RefLookups, RecordLookups):
    """The reading half of an index."""

    @property
    def next_pack(self) -> PackNumber:
        """The number that the next pack will have: all that are known have lower ones."""
        with self._reading("meta") as txn:
            return PackNumber(NUMBER.unpack(txn.get(b"next_pack"))[0])

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
