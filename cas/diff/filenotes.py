"""The files that differ: noted, those that only have another path found, and read back.

Synchronous; in worker threads.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from ...ids import ObjectId
from ..formats.tree import Entry, EntryType
from ..objects import Objects
from .difference import FileChange, FileSide
from .ledger import NEW, OLD, Ledger
from .pairs import Pair

Row = tuple[object, ...]

_INSERT: Final = "INSERT INTO file VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NOTHING: Final = (None,) * 6
_COLUMNS: Final = {
    side: ", ".join(
        f"{side}_{what}" for what in ("path", "type", "mode", "size", "content", "object")
    )
    for side in ("old", "new")
}
_RENAME: Final = f"""
UPDATE file SET kind = 'renamed', ({_COLUMNS["old"]}) = (
    SELECT {_COLUMNS["old"]} FROM file gone
    WHERE gone.id = (SELECT old FROM pair WHERE new = file.id)
) WHERE id IN (SELECT new FROM pair)
"""  # noqa: S608 - names of columns, from above


def note_files(ledger: Ledger, objects: Objects, found: Iterable[Pair]) -> None:
    """Note every pair that is a difference."""
    ledger.put(_INSERT, (row for pair in found if (row := _row(objects, pair)) is not None))
    for keys in ("content, base", "content"):
        ledger.pair("file", keys, "old_path, new_path", "kind = 'removed'", "kind = 'added'")
        ledger.do(_RENAME)
        ledger.do("DELETE FROM file WHERE id IN (SELECT old FROM pair)")


def _row(objects: Objects, pair: Pair) -> Row | None:
    base = pair.path.rpartition(b"/")[2]
    old, new = (_side(objects, pair.path, entry) for entry in (pair.old, pair.new))
    if pair.old is None:
        return "added", base, _recognised(new), *old, *new
    if pair.new is None:
        return "removed", base, _recognised(old), *old, *new
    # Not the objects: manifests of equal content may differ in what else they say.
    same = (old[1], old[4]) == (new[1], new[4])
    if same and pair.old.mode == pair.new.mode:
        return None
    return "mode" if same else "changed", base, None, *old, *new


def _side(objects: Objects, path: bytes, entry: Entry | None) -> Row:
    if entry is None:
        return _NOTHING
    content, object_ = entry.target, None
    if entry.type is EntryType.FILE:
        content, object_ = objects.manifest(entry.object).blake3, entry.target
    return path, int(entry.type), entry.mode, entry.size, content, object_


def _recognised(side: Row) -> object:
    """The content of a file that has some; nothing is said by two links or empty files."""
    _, type_, _, size, content, _ = side
    return content if type_ == EntryType.FILE and size else None


_NAMES: Final = {OLD: "old", NEW: "new"}


def manifests(ledger: Ledger) -> Iterator[tuple[int, int, bytes, ObjectId]]:
    """Row, side, path and manifest of each file whose content is on one side only."""
    for side, name in _NAMES.items():
        query = (
            f"SELECT id, {name}_path, {name}_object FROM file "  # noqa: S608 - one of two words
            f"WHERE kind NOT IN ('renamed', 'mode') AND {name}_object NOTNULL ORDER BY {name}_path"
        )
        for row, path, object_ in ledger.rows(query):
            yield row, side, path, ObjectId(object_)


def manifest_of(ledger: Ledger, side: int, number: int) -> tuple[bytes, ObjectId]:
    """Path and manifest of one file on one side, by its row."""
    name = _NAMES[side]
    query = f"SELECT {name}_path, {name}_object FROM file WHERE id = ?"  # noqa: S608 - as above
    path, object_ = ledger.one(query, (number,))
    return path, ObjectId(object_)


def file_changes(ledger: Ledger) -> Iterator[FileChange]:
    """Every file that differs, sorted by path; of one path what was removed first."""
    query = f"""
        SELECT id, kind, {_UNKNOWN}, {_COLUMNS["old"]}, {_COLUMNS["new"]} FROM file
        ORDER BY coalesce(new_path, old_path), new_path NOTNULL
    """  # noqa: S608 - names of columns, from above
    for row, kind, unknown, *sides in ledger.rows(query):
        yield FileChange(row, kind, _read(sides[:6]), _read(sides[6:]), unknown)


def forget_untold(ledger: Ledger) -> None:
    """Say nothing of tensors that are on one side of a changed file, and of the other side none is
    known: they may well be there."""
    ledger.do(
        "UPDATE tensor SET kind = NULL WHERE kind IN ('added', 'removed') "  # noqa: S608 - as above
        f"AND file IN (SELECT id FROM file WHERE {_UNKNOWN} NOTNULL)"
    )


_UNKNOWN: Final = """(
    SELECT CASE WHEN max(side) = 0 THEN 'new' WHEN min(side) = 1 THEN 'old' END
    FROM tensor WHERE tensor.file = file.id AND file.kind = 'changed'
    AND old_type = new_type AND old_size AND new_size
)"""
"""The side of a file that has bytes but no known tensors, where the other one has some."""


def _read(side: list[Any]) -> FileSide | None:
    path, type_, mode, size, content, _ = side
    return None if path is None else FileSide(path, EntryType(type_), mode, size, content)
