"""What the index remembers of files on this machine: the sub-database `sources`.

Only a help for `add`: any of it may be missing, and all of it may go at any time.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

from ...ids import ObjectId

Transaction = Callable[[], AbstractContextManager[Any]]
"""Begins a transaction, for reading on `sources` alone."""
BATCH: Final = 10_000
"""Rows that one transaction reads, or deletes, while all are gone through."""

_KEY: Final = struct.Struct(">QQ")
_ROW: Final = struct.Struct("<QqqQI4x32s")


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One file as it was when it was added: size in bytes, times in nanoseconds.

    `stored` of its bytes, from the start, were stored then: all of them where `manifest` is one.
    `seen` is when an add last met it, in seconds since the epoch.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    stored: int
    seen: int
    manifest: ObjectId

    def encode(self) -> bytes:
        """The value in `sources`."""
        return _ROW.pack(
            self.size, self.mtime_ns, self.ctime_ns, self.stored, self.seen, self.manifest
        )

    @classmethod
    def decode(cls, data: bytes) -> "SourceRow":
        """A row from its bytes."""
        size, mtime_ns, ctime_ns, stored, seen, manifest = _ROW.unpack(data)
        return cls(size, mtime_ns, ctime_ns, stored, seen, ObjectId(manifest))


def source_key(device: int, inode: int) -> bytes:
    """The key of a file in `sources`."""
    return _KEY.pack(device, inode)


class SourceRows:
    """Reads and writes `sources`. Synchronous; each call is one transaction, or one a batch."""

    def __init__(self, db: Any, reading: Transaction, writing: Transaction) -> None:
        self._db = db
        self._reading = reading
        self._writing = writing

    def get(self, keys: Sequence[bytes]) -> list[SourceRow | None]:
        """What is known under each key."""
        if self._db is None:
            return [None] * len(keys)
        with self._reading() as txn:
            found = [txn.get(key) for key in keys]
            return [None if data is None else SourceRow.decode(data) for data in found]

    def put(self, rows: Mapping[bytes, SourceRow]) -> None:
        """Remember these."""
        with self._writing() as txn:
            for key in sorted(rows):
                txn.put(key, rows[key].encode(), db=self._db)

    def delete(self, keys: Sequence[bytes]) -> None:
        """Forget these."""
        with self._writing() as txn:
            for key in keys:
                txn.delete(key, db=self._db)

    def __len__(self) -> int:
        if self._db is None:
            return 0
        with self._reading() as txn:
            return int(txn.stat(self._db)["entries"])

    def each(self) -> Iterator[tuple[bytes, SourceRow]]:
        """All rows in the order of keys; no transaction stays open between batches."""
        after = b""
        while batch := self._after(after):
            yield from batch
            after = batch[-1][0]

    def _after(self, key: bytes) -> list[tuple[bytes, SourceRow]]:
        if self._db is None:
            return []
        rows = []
        with self._reading() as txn, txn.cursor() as cursor:
            if cursor.set_range(key + b"\0" if key else b""):
                for found, value in cursor:
                    rows.append((bytes(found), SourceRow.decode(value)))
                    if len(rows) == BATCH:
                        break
        return rows
