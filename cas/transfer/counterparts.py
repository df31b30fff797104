"""Which id a chunk or an object has in another store, where that names things by another key.

It is told by the raw bytes alone, so what was once looked at need not be read again to see whether
the other store has it. The table lies in this store's folder, `counterparts/<store id>`, a SQLite
database: it may be deleted at any time, and one that cannot be read is begun anew.

Every row carries a checksum: a wrong one would give a file other contents.

Synchronous, for worker threads, one at a time.
"""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol, TypeVar

from blake3 import blake3

from ...errors import ModelFloatError

FOLDER: Final = "counterparts"
PATIENCE: Final = 60.0
"""Seconds to wait while another process writes to the table."""
_CHECK: Final = 8
"""Bytes of checksum a row."""
_HERE: Final = "SELECT there, sum FROM pair WHERE here = ?"
_THERE: Final = "SELECT here, sum FROM pair WHERE there = ?"

_T = TypeVar("_T")

log = logging.getLogger(__name__)


class Counterparts(Protocol):
    """What knows the ids of the store that is sent to, by those of the store that sends."""

    @property
    def same(self) -> bool:
        """Whether both name everything alike."""

    def find(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """Their ids, None where one is not known."""

    def origin(self, id_: bytes) -> bytes | None:
        """The id here of what has that id there, None where it is not known."""

    def note(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember ids here and there."""

    def forget(self) -> None:
        """Know nothing any more."""


class Alike:
    """Between stores that name everything alike."""

    same = True

    def find(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """The ids themselves."""
        return list(ids)

    def origin(self, id_: bytes) -> bytes | None:
        """The id itself."""
        return id_

    def note(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """There is nothing to remember."""

    def forget(self) -> None:
        """There is nothing to forget."""


class Table:
    """Ids of the store whose folder it lies in, `here`, and of another one, `there`.

    With `back` what is sent comes from there.
    """

    same = False

    def __init__(self, path: str, *, back: bool) -> None:
        self._path = path
        self._back = back
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        with self._told():
            try:
                return _connect(self._path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                log.info("%s is begun anew: %s", self._path, error)
                _remove(self._path)
                return _connect(self._path)

    def _tried(self, job: Callable[[], _T]) -> _T:
        """Do `job`, with a table begun anew where this one turns out to be damaged."""
        with self._told():
            try:
                return job()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                log.info("%s is begun anew: %s", self._path, error)
                self._db.close()
                _remove(self._path)
                self._db = _connect(self._path)
                return job()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What keeps a sound table from being used, as on a full disk, told to the user."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ModelFloatError(
                f"{self._path} cannot be written: {error}; see to the disk that the store is on"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def find(self, ids: Sequence[bytes]) -> list[bytes | None]:
        """See `Counterparts.find`."""
        return self._tried(lambda: [self._find(id_, back=self._back) for id_ in ids])

    def origin(self, id_: bytes) -> bytes | None:
        """See `Counterparts.origin`."""
        return self._tried(lambda: self._find(id_, back=not self._back))

    def _find(self, id_: bytes, *, back: bool) -> bytes | None:
        row = self._db.execute(_THERE if back else _HERE, (id_,)).fetchone()
        if row is None:
            return None
        other, check = row
        here, there = (other, id_) if back else (id_, other)
        return bytes(other) if check == _check(here, there) else None

    def note(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """See `Counterparts.note`."""
        ordered = [(there, here) if self._back else (here, there) for here, there in pairs]
        rows = [(here, there, _check(here, there)) for here, there in ordered]

        def write() -> None:
            with self._db:
                self._db.executemany("INSERT OR REPLACE INTO pair VALUES (?, ?, ?)", rows)

        self._tried(write)

    def forget(self) -> None:
        """See `Counterparts.forget`."""

        def empty() -> None:
            with self._db:
                self._db.execute("DELETE FROM pair")

        self._tried(empty)


def _connect(path: str) -> sqlite3.Connection:
    # Calls come from worker threads, one after the other.
    db = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
    try:
        with db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS pair "
                "(here BLOB PRIMARY KEY, there BLOB UNIQUE, sum BLOB) WITHOUT ROWID"
            )
    except BaseException:
        db.close()
        raise
    return db


def _remove(path: str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _check(here: bytes, there: bytes) -> bytes:
    return blake3(here + there).digest(_CHECK)
