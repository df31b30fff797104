"""Which tensor of the new side is which of the old one.

First the one of the same name and bytes: in the same file, else in the same folder, so that a set
of files that was cut into other files counts as one. Then one of the same bytes that is called
otherwise: where layers are numbered anew, their names are still there and mean others. Then one of
the same name, whose bytes changed.

Two tensors have the same bytes if they lie in the same chunks in the same way. Where they have the
same size and were cut alike but lie in other chunks, their bytes differ. Else the bytes must be
read, and compared by their BLAKE3.
"""

from typing import Final

from .ledger import NEW, OLD, Ledger

PASSES: Final = (
    "path, name, ident",
    "folder, name, ident",
    "path, ident, element, shape",
    "folder, ident, element, shape",
    "path, name",
    "folder, name",
    "name, ident",
    "ident, element, shape",
    "ident",
)
"""What tensors without counterpart must have in common to be one, the surest first."""

SAME: Final = (
    "o.size = n.size AND (o.cover = n.cover OR (o.digest IS n.digest AND n.digest NOTNULL))"
)
"""Whether the tensors `o` and `n`, of which what is `wanted` was read, have the same bytes."""


def match_names(ledger: Ledger) -> None:
    """Pair what is plainly the same, and find out what must be read of all else."""
    _pair(ledger, "path, name, size, cover")
    ledger.do(_WANT_FREE)
    ledger.do("CREATE INDEX to_read ON tensor (side, file, offset, id) WHERE wanted")


def match_rest(ledger: Ledger) -> None:
    """Pair what is left and say what became of each tensor; when all that is wanted was read."""
    ledger.do(_IDENTIFY)
    for keys in PASSES:
        _pair(ledger, keys)
    ledger.do(_SAY_NEW)
    ledger.do("UPDATE tensor SET kind = 'removed' WHERE side = 0 AND mate IS NULL")
    ledger.do("CREATE INDEX told ON tensor (file, side)")


def wanted_bytes(ledger: Ledger) -> int:
    """How many bytes must be read."""
    row = ledger.one("SELECT sum(size) FROM tensor WHERE wanted AND digest IS NULL")
    return row[0] or 0


Wanted = tuple[int, int, int, int, int]
"""Side, file, offset, row and size of a tensor that must be read."""


def wanted(ledger: Ledger, after: Wanted, count: int) -> list[Wanted]:
    """The next tensors that must be read, in the order of files."""
    query = (
        "SELECT side, file, offset, id, size FROM tensor WHERE wanted AND digest IS NULL "
        "AND (side, file, offset, id) > (?, ?, ?, ?) ORDER BY side, file, offset, id LIMIT ?"
    )
    return list(ledger.rows(query, (*after[:4], count)))


def note_digests(ledger: Ledger, found: list[tuple[bytes, int]]) -> None:
    """The BLAKE3s of tensors that were read, each with its row."""
    ledger.put("UPDATE tensor SET digest = ? WHERE id = ?", found)


def _pair(ledger: Ledger, keys: str) -> None:
    """Make pairs of those without counterpart that have all of `keys` in common."""
    free = "mate IS NULL AND side ="
    ledger.pair("tensor", keys, "path, name, offset", f"{free} {OLD}", f"{free} {NEW}")
    ledger.do(
        "UPDATE tensor SET mate = (SELECT new FROM pair WHERE old = tensor.id) "
        "WHERE id IN (SELECT old FROM pair)"
    )
    ledger.do(
        "UPDATE tensor SET mate = (SELECT old FROM pair WHERE new = tensor.id) "
        "WHERE id IN (SELECT new FROM pair)"
    )


_WANT_FREE: Final = """
UPDATE tensor SET wanted = 1 WHERE mate IS NULL AND size IN (
    SELECT size FROM tensor WHERE mate IS NULL GROUP BY size
    HAVING count(DISTINCT side) = 2
    AND (count(DISTINCT pattern) <> 1 OR count(pattern) < count(*))
)
"""

_IDENTIFY: Final = """
UPDATE tensor SET ident = CASE WHEN wanted THEN digest ELSE cover END
WHERE mate IS NULL AND size IN (
    SELECT size FROM tensor WHERE mate IS NULL GROUP BY size HAVING count(DISTINCT side) = 2
)
"""

_SAY_NEW: Final = f"""
UPDATE tensor SET kind = coalesce((
    SELECT CASE
        WHEN o.name <> n.name THEN 'renamed'
        WHEN o.element <> n.element THEN 'retyped'
        WHEN o.shape <> n.shape THEN 'reshaped'
        WHEN NOT ({SAME}) THEN 'changed'
        WHEN o.path <> n.path THEN 'moved'
        ELSE 'same'
    END
    FROM tensor n JOIN tensor o ON o.id = n.mate WHERE n.id = tensor.id
), 'added') WHERE side = 1
"""  # noqa: S608 - a text from above
