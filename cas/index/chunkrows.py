"""Passes over all rows of the index's `chunks`, in key order, a bounded batch a transaction.

Between two batches others may write: a row that is there during the whole pass comes once.
"""

from collections.abc import Collection
from itertools import islice
from typing import Any

Row = tuple[bytes, bytes]
"""A chunk id and one of its locations, encoded."""


def rows_after(txn: Any, chunks: Any, last: Row | None, count: int) -> list[Row]:
    """Up to `count` rows behind `last`, from the first row on where that is None."""
    with txn.cursor(db=chunks) as cursor:
        return list(islice(cursor.iternext(), count)) if _behind(cursor, last) else []


def rows_of_packs(
    txn: Any, chunks: Any, packs: Collection[bytes], last: Row | None, count: int
) -> tuple[list[Row], Row | None]:
    """Rows that lie in `packs` (pack numbers, encoded) among the next `count` rows behind `last`;
    and the last row looked at, None at the end."""
    with txn.cursor(db=chunks) as cursor:
        if not _behind(cursor, last):
            return [], None
        rows = islice(cursor.iternext(), count)
        found = [row for row in rows if row[1][:4] in packs]
        # At the end it is on no row.
        key, value = cursor.item()
        return found, (key, value) if key else None


def _behind(cursor: Any, last: Row | None) -> bool:
    """Put the cursor on the first row behind `last`; False where there is none."""
    if last is None:
        return bool(cursor.first())
    key, value = last
    if not cursor.set_range(key):
        return False
    if cursor.key() != key:
        return True
    if not cursor.set_range_dup(key, value):
        return bool(cursor.set_key(key) and cursor.next_nodup())
    return bool(cursor.next() if cursor.value() == value else True)
