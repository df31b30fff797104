"""Rows of `chunks` sorted on disk: in memory there are never more than a run of them.

Runs of rows are sorted and appended to a file, with a table of where in the run each part of the
ids begins; afterwards the parts are read from all runs, one after the other. So the index gets its
rows in the order of its keys, and LMDB fills page after page.

A row is a chunk id (32 bytes) and one of its locations, encoded (20 bytes).
"""

import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

Rows = np.ndarray[Any, Any]

RUN: Final = 1 << 17
"""Rows sorted in memory at once, 52 bytes each."""
PART_BITS: Final = 12
"""How much of an id decides which part it is in."""

ROW: Final = np.dtype(
    [
        ("id", "V32"),
        ("pack", ">u4"),
        ("slot", ">u2"),
        ("codec", "u1"),
        ("kind", "u1"),
        ("offset", ">u4"),
        ("stored", ">u4"),
        ("raw", ">u4"),
    ]
)
"""A chunk id and a location as `chunks` has them."""


def rows_of(number: int, table: Rows) -> Rows:
    """The rows of the pack of that number, from its chunk table as `check_table` gives it."""
    rows = np.empty(len(table), ROW)
    for name in ("id", "codec", "kind", "offset", "stored", "raw"):
        rows[name] = table[name]
    rows["pack"] = number
    rows["slot"] = np.arange(len(table))
    return rows


class RowSorter:
    """Takes rows in any order and gives them back sorted. `path` is where its file is made."""

    def __init__(self, path: str) -> None:
        self._file = open(path, "w+b", buffering=0)  # noqa: SIM115 - closed by `close`
        self._waiting: list[Rows] = []
        self._count = 0
        self._runs: list[tuple[int, Rows]] = []

    def add(self, number: int, table: Rows) -> None:
        """Take the chunks of one pack."""
        self._waiting.append(rows_of(number, table))
        self._count += len(table)
        if self._count >= RUN:
            self._flush()

    def sorted(self, most: int) -> Iterator[Rows]:
        """All rows by id and location, about `most` at a time; one part may be more."""
        self._flush()
        parts = 1 << PART_BITS
        sizes = np.zeros(parts, np.int64)
        for _, starts in self._runs:
            sizes += np.diff(starts)
        first = 0
        while first < parts:
            end, size = first + 1, int(sizes[first])
            while end < parts and size + sizes[end] <= most:
                size += int(sizes[end])
                end += 1
            if size:
                yield _sorted(self._read(first, end))
            first = end

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        parts = _parts(rows)
        order = np.argsort(parts, kind="stable")
        starts = np.searchsorted(parts[order], np.arange((1 << PART_BITS) + 1))
        at = self._file.seek(0, os.SEEK_END)
        _write(self._file, rows[order].tobytes())
        self._runs.append((at, starts.astype(np.int32)))
        self._waiting, self._count = [], 0

    def _read(self, first: int, end: int) -> Rows:
        found = []
        for at, starts in self._runs:
            low, high = int(starts[first]), int(starts[end])
            if high > low:
                size = (high - low) * ROW.itemsize
                data = os.pread(self._file.fileno(), size, at + low * ROW.itemsize)
                found.append(np.frombuffer(data, ROW))
        return np.concatenate(found)

    def close(self) -> None:
        """Let go of the file; whoever chose its path removes it."""
        self._file.close()


def _parts(rows: Rows) -> Rows:
    """Which part each row is in: the first bits of its id."""
    octets = rows.view(np.uint8).reshape(-1, ROW.itemsize)
    first = octets[:, 0].astype(np.uint16) << 8 | octets[:, 1]
    return first >> (16 - PART_BITS)


def _sorted(rows: Rows) -> Rows:
    """Rows sorted as LMDB sorts them: by all their bytes."""
    return np.sort(rows.view(f"S{ROW.itemsize}")).view(ROW)


def _write(file: Any, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
