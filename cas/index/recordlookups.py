"""What the index answers about journal records: applied, compacted, lost; packs they deleted."""

from collections.abc import Iterator, Sequence
from itertools import islice

from ...ids import PackId, WriterId
from ..formats.journal import NO_ID
from .apply import is_known
from .reading import Reading
from .records import RECORD, WRITER, LostRecords


class RecordLookups(Reading):
    """Writers and their records."""

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
