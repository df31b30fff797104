"""What a comparison notes of files, tensors and chunks: a temporary SQLite database.

Repositories may have hundreds of thousands of files and tensors; what does not fit in SQLite's page
cache lies in a file that is gone when the database is closed. Used by one thread at a time.

| table | a row is |
|---|---|
| `file` | a file or link that differs: its kind, and what each side has there |
| `tensor` | a tensor of a file whose content differs, on one side (0 old, 1 new) |
| `chunk` | a chunk of such files of the new side: length, how often, whether the old side has it |
| `pair` | what `pair` found |

Of a file: `content` is what an added or removed one can be recognised by, `base` the end of its
path. Of a tensor: `cover` stands for its chunks and where in the first one it begins, `pattern` for
the lengths of its chunks where it fills them (else NULL), `digest` is the BLAKE3 of its bytes where
that is known, `ident` what it is recognised by in another place, `mate` its counterpart.
"""

import contextlib
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ...errors import ModelFloatError

OLD: Final = 0
NEW: Final = 1
CACHE: Final = 16 << 10
"""Page cache, KiB."""

_SCHEMA: Final = """
CREATE TABLE file (
    id INTEGER PRIMARY KEY, kind TEXT, base BLOB, content BLOB,
    old_path BLOB, old_type INT, old_mode INT, old_size INT, old_content BLOB, old_object BLOB,
    new_path BLOB, new_type INT, new_mode INT, new_size INT, new_content BLOB, new_object BLOB
);
CREATE TABLE tensor (
    id INTEGER PRIMARY KEY, side INT, file INT, path BLOB, folder BLOB, name BLOB,
    element INT, shape TEXT, offset INT, size INT,
    cover BLOB, pattern BLOB, digest BLOB, ident BLOB, wanted INT DEFAULT 0, mate INT, kind TEXT
);
CREATE TABLE chunk (
    id BLOB PRIMARY KEY, raw INT, times INT, known INT DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE pair (old INTEGER PRIMARY KEY, new INT);
CREATE INDEX pair_new ON pair (new);
"""


Values = Sequence[Any] | Mapping[str, Any]
"""What is put in the places of a statement: by their order, or by their names."""


class Ledger:
    """The notes of one comparison. Close it, or use it in a `with` statement.

    ModelFloatError where the temporary file cannot be written.
    """

    def __init__(self) -> None:
        with told():
            # An empty name is a temporary file of SQLite's own, in $SQLITE_TMPDIR or $TMPDIR.
            self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(f"PRAGMA cache_size = -{CACHE}")
            self._database.executescript(_SCHEMA)
            self._database.create_function("sort_key", 1, sort_key, deterministic=True)
            # One transaction that never ends: nothing of this is kept.
            self._database.execute("BEGIN")

    def close(self) -> None:
        """Let go of the file; the notes are gone."""
        self._database.close()

    def do(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Carry out one statement."""
        with told():
            self._database.execute(statement, values)

    def put(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Carry out one statement for each row."""
        with told():
            self._database.executemany(statement, rows)

    def rows(self, query: str, values: Values = ()) -> Iterator[Any]:
        """The rows that a query finds, as they come."""
        with told():
            cursor = self._database.execute(query, values)
        while True:
            with told():
                some = cursor.fetchmany(1000)
            if not some:
                return
            yield from some

    def one(self, query: str, values: Values = ()) -> Any:
        """The first row that a query finds, None if there is none."""
        return next(self.rows(query, values), None)

    def pair(self, table: str, keys: str, order: str, old: str, new: str) -> None:
        """Fill `pair` with rows of a table, `old` and `new` ones, that have `keys` in common.

        Where several have, the first one is paired with the first one, and so on, by `order`. All
        arguments are SQL; a key that is NULL has nothing in common with another one.
        """
        nth = f"row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS nth"
        numbered = f"SELECT id, {keys}, {nth} FROM {table} WHERE"  # noqa: S608 - words of ours
        self.do("DELETE FROM pair")
        self.do(
            f"INSERT INTO pair SELECT o.id, n.id FROM ({numbered} {old}) o "  # noqa: S608 - as above
            f"JOIN ({numbered} {new}) n USING ({keys}, nth)"
        )


def sort_key(name: bytes) -> bytes:
    """What sorts names by the value of numbers in them: `layers.2` before `layers.10`."""
    return _NUMBER.sub(_sorted_by_value, name)


def _sorted_by_value(found: re.Match[bytes]) -> bytes:
    digits = found[0].lstrip(b"0")
    return b"%08d%s" % (len(digits), digits)


_NUMBER: Final = re.compile(rb"[0-9]+")


@contextlib.contextmanager
def told() -> Iterator[None]:
    """SQLite's errors as ours: it is the disk of the temporary file that fails."""
    try:
        yield
    except sqlite3.Error as error:
        raise ModelFloatError(
            f"the temporary file of a comparison: {error}; free some space in "
            f"{tempfile.gettempdir()}, or set TMPDIR"
        ) from error
