"""What this machine knows of a Drive folder, kept between processes: key → file, uploads begun.

Drive has no keys, only files with ids; a listing finds a file by its name, and may do so late. So
what was written, found or removed here is remembered, in an SQLite file below the store's folder.
It is a cache: what is lost of it is looked for on Drive. The addresses of uploads are as good as a
right to write one file, so the file is for its owner alone.

Concurrency: any number of processes; each call is one transaction in a worker thread, one at a
time. Where the file cannot be used all of it is in memory, for this process.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import trio

from ..private import make_file

T = TypeVar("T")

RECENT: Final = 900.0
"""Seconds for which a listing may not show what was written here, or show what was removed."""
UPLOADS: Final = "uploads"
"""What may be stopped for a while."""
FORGOTTEN: Final = 6 * 86400.0
"""Seconds after which an upload cannot go on; Google keeps its address for a week."""
LONGEST: Final = 3600.0
"""Seconds for which anything is stopped; one for longer is of a clock that was set back since."""
BUSY: Final = 10.0
"""Seconds that another process may take for a transaction."""
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS files (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, size INTEGER NOT NULL, modified TEXT NOT NULL,
    written REAL NOT NULL);  -- by our clock, when it was written here; 0 where it was only found
CREATE INDEX IF NOT EXISTS written ON files (written);
CREATE TABLE IF NOT EXISTS removed (id TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS folders (id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS uploads (
    key TEXT PRIMARY KEY, id TEXT NOT NULL, session TEXT NOT NULL,  -- "" where it has none
    digest BLOB NOT NULL, begun REAL NOT NULL);
CREATE TABLE IF NOT EXISTS stops (name TEXT PRIMARY KEY, until REAL NOT NULL);
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class File:
    """A file on Drive: its id, its size in bytes, and when its content changed, by Drive's clock
    as it writes times (they sort as text); "" where that is not known."""

    id: str
    size: int
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that began: the file that it makes or changes, the address where it goes on ("" of
    one in a single request), and the SHA-256 of what it sends."""

    id: str
    session: str
    digest: bytes


class Known:
    """What is known of one folder; `path` None keeps it in memory."""

    def __init__(self, path: str | None, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._database: sqlite3.Connection | None = None
        self._turn = trio.CapacityLimiter(1)

    async def file(self, key: str) -> File | None:
        """The file of a key, as far as it is known here."""
        rows = await self._rows("SELECT id, size, modified FROM files WHERE key = ?", key)
        return File(*rows[0]) if rows else None

    async def found(self, files: Iterable[tuple[str, File]]) -> None:
        """Those were found on Drive; what was written here meanwhile is known better."""
        rows = [(key, file.id, file.size, file.modified) for key, file in files]
        if rows:
            await self._many(
                "INSERT INTO files VALUES (?, ?, ?, ?, 0) ON CONFLICT (key) DO UPDATE SET "
                "id = excluded.id, size = excluded.size, modified = excluded.modified "
                "WHERE files.modified <= excluded.modified",
                rows,
            )

    async def wrote(self, key: str, file: File) -> None:
        """That was written here now; its upload is done."""
        now = self._clock()

        def work(database: sqlite3.Connection) -> None:
            row = (key, file.id, file.size, file.modified, now)
            database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
            database.execute("DELETE FROM uploads WHERE key = ?", (key,))

        await self._do(work)

    async def forget(self, key: str, id_: str) -> None:
        """That file of a key is not there."""
        await self._rows("DELETE FROM files WHERE key = ? AND id = ?", key, id_)

    async def remove(self, key: str, ids: Sequence[str]) -> None:
        """Those files of a key were removed here now."""
        now = self._clock()

        def work(database: sqlite3.Connection) -> None:
            rows = [(id_, now) for id_ in ids]
            database.executemany("INSERT OR REPLACE INTO removed VALUES (?, ?)", rows)
            database.executemany(
                "DELETE FROM files WHERE key = ? AND id = ?", [(key, id_) for id_ in ids]
            )
            database.execute("DELETE FROM removed WHERE at < ?", (now - FORGOTTEN,))

        await self._do(work)

    async def removed(self, ids: Iterable[str]) -> set[str]:
        """Which of those were removed here."""

        def work(database: sqlite3.Connection) -> set[str]:
            ask = "SELECT 1 FROM removed WHERE id = ?"
            return {id_ for id_ in ids if database.execute(ask, (id_,)).fetchone() is not None}

        return await self._do(work)

    async def recent(self, prefix: str) -> dict[str, File]:
        """What was written here lately under keys that begin with `prefix`."""
        rows = await self._rows(
            "SELECT key, id, size, modified FROM files WHERE written > ?", self._clock() - RECENT
        )
        return {key: File(*row) for key, *row in rows if key.startswith(prefix)}

    async def folders(self, name: str) -> list[str]:
        """The folders of that name, the first one first."""
        rows = await self._rows("SELECT id FROM folders WHERE name = ? ORDER BY rowid", name)
        return [id_ for (id_,) in rows]

    async def folders_are(self, name: str, ids: Sequence[str]) -> None:
        """Those are the folders of that name."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM folders WHERE name = ?", (name,))
            rows = [(id_, name) for id_ in ids]
            database.executemany("INSERT OR REPLACE INTO folders VALUES (?, ?)", rows)

        await self._do(work)

    async def no_folders(self) -> None:
        """Folders are looked for anew."""
        await self._rows("DELETE FROM folders")

    async def upload(self, key: str) -> Upload | None:
        """The upload that was begun under a key and is not done."""
        rows = await self._rows(
            "SELECT id, session, digest FROM uploads WHERE key = ? AND begun > ?",
            key,
            self._clock() - FORGOTTEN,
        )
        return Upload(*rows[0]) if rows else None

    async def begin(self, key: str, upload: Upload) -> None:
        """An upload begins."""
        now = self._clock()

        def work(database: sqlite3.Connection) -> None:
            row = (key, upload.id, upload.session, upload.digest, now)
            database.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?, ?)", row)
            database.execute("DELETE FROM uploads WHERE begun < ?", (now - FORGOTTEN,))

        await self._do(work)

    async def abandon(self, key: str) -> None:
        """The upload under a key cannot go on."""
        await self._rows("DELETE FROM uploads WHERE key = ?", key)

    async def stop(self, name: str, seconds: float) -> None:
        """For so long nothing of that kind is tried."""
        until = self._clock() + seconds
        await self._rows("INSERT OR REPLACE INTO stops VALUES (?, ?)", name, until)

    async def stopped(self, name: str) -> float:
        """Seconds for which nothing of that kind is to be tried; 0 where it may be."""
        rows = await self._rows("SELECT until FROM stops WHERE name = ?", name)
        left: float = rows[0][0] - self._clock() if rows else 0.0
        return left if 0.0 < left <= LONGEST else 0.0

    async def aclose(self) -> None:
        """Close the file."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._close, limiter=self._turn)

    async def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return await self._do(lambda database: database.execute(statement, values).fetchall())

    async def _many(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        await self._do(lambda database: database.executemany(statement, rows))

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, in a transaction; a file that is no good is given up."""
        return await trio.to_thread.run_sync(
            self._work, work, abandon_on_cancel=True, limiter=self._turn
        )

    # From here on everything runs in a worker thread, one at a time.

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._transact(work)
        except (sqlite3.Error, OSError) as error:
            log.warning(
                "%s cannot be used (%s): what lies on Google Drive is looked for anew",
                self._path,
                error,
            )
        self._close()
        self._path = None
        return self._transact(work)

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._database is None:
            self._database = self._open()
        with self._database:
            return work(self._database)

    def _open(self) -> sqlite3.Connection:
        if self._path is not None:
            make_file(self._path)
        database = sqlite3.connect(self._path or ":memory:", timeout=BUSY, check_same_thread=False)
        try:
            # A power cut loses what Drive tells again; a torn file it must not leave.
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.executescript(_TABLES)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _close(self) -> None:
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):
                self._database.close()
            self._database = None
