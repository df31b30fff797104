"""Marks: one bit for every place of every pack, for "this is still needed".

A chunk is marked in one place: in the best of its packs (`standing`), among equals the newest; so a
chunk that was copied to another pack no longer holds the old one. Where shards are missing of the
best one, every place is marked: any of them may be what saves it.

Memory, whatever the number of files: a bit a place and some 110 bytes a pack.

Synchronous; used by one worker thread at a time.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ConflictError
from ...ids import PackNumber
from ..capacity import stored_size
from ..formats.chunktable import Kind
from ..index.index import Index
from ..index.records import PackRecord
from .standing import WHOLE, Rank

Array = npt.NDArray[Any]

PACKS: Final = 4096
"""Packs that are looked at together."""
PACK: Final = np.dtype(
    [
        ("number", "u4"),
        ("id", "V16"),
        ("kind", "u1"),
        ("chunks", "i8"),
        ("length", "i8"),
        ("stored", "i8"),
        ("rank", "i8"),
    ]
)
"""A pack: number, id, kind, places, bytes of it, bytes of its shards, and how good it is."""
ROW: Final = np.dtype(
    [
        ("id", "V32"),
        ("pack", ">u4"),
        ("slot", ">u2"),
        ("codec_and_kind", "V2"),
        ("offset", ">u4"),
        ("stored", ">u4"),
        ("raw", ">u4"),
    ]
)
"""What `Index.rows` gives."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What a call marked: ids in the order of their bytes, those marked before and those in no
    pack left out; and the ids that are in no pack."""

    new: list[bytes]
    nowhere: list[bytes]


class Marks:
    """The marks of one collection. What `ranking` gives says how good packs are, as
    `standing.rank` does; it is asked for anew whenever many are looked at."""

    def __init__(self, index: Index, ranking: Callable[[], Rank]) -> None:
        self._index = index
        self._ranking = ranking
        self.packs: Array = np.zeros(0, PACK)
        self._numbers: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._first: Array = np.zeros(0, np.int64)
        self._bits: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self.places: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Marked places of each pack."""
        self.bytes: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Bytes that the marked places of each pack take in it."""
        self.raw: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Bytes that the marked places of each pack stand for."""
        self.fleeting: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        """Marked places of each pack that will not be needed for long."""
        self.there: npt.NDArray[np.bool_] = np.zeros(0, bool)
        """Packs that the index still has."""
        self.spared: npt.NDArray[np.bool_] = np.zeros(0, bool)
        """Packs that stay whatever is marked of them: set by who chooses."""
        self.extend()
        self.known = len(self.packs)
        """Packs that were there when marking began; no other may be deleted."""

    def extend(self) -> None:
        """Take in packs that were stored since."""
        self._append(list(self._tables(self._last)))

    @property
    def _last(self) -> int:
        return int(self._numbers[-1]) if len(self._numbers) else 0

    def check(self) -> bool:
        """Take in everything that happened meanwhile: packs that came, and those that went.

        False where one in which something is marked went, or is not as good as it was: then another
        place may be the better one, and the marks must be made anew. ConflictError where the index
        was made anew: then no number means what it did.
        """
        old = self.packs
        there, worse = np.zeros(len(old), bool), np.ones(len(old), bool)
        for rows in self._tables(0, self._last):
            at, known = self._where(rows["number"])
            if not known.all() or (rows["id"] != old["id"][at]).any():
                raise ConflictError("the index was made anew while gc ran; run it again")
            there[at] = True
            worse[at] = rows["rank"] < old["rank"][at]
            old["rank"][at] = rows["rank"]
        self.there[:] = there
        holds = not (worse & (self.places > 0)).any()
        self.extend()
        return holds

    def forget(self) -> None:
        """Take all marks away; what is known of the packs stays."""
        for array in (self._bits, self.places, self.bytes, self.raw, self.fleeting):
            array[:] = 0

    def _tables(self, after: int, last: int | None = None) -> Iterator[Array]:
        """What is known now of the packs behind number `after`, up to `last`; some at a time."""
        rank = self._ranking()
        records = self._index.packs(after=after)
        if last is not None:
            records = takewhile(lambda record: record.number <= last, records)
        while some := list(islice(records, PACKS)):
            yield np.array([_row(record, rank) for record in some], PACK)

    def _append(self, tables: Sequence[Array]) -> None:
        if not tables:
            return
        self.packs = np.concatenate([self.packs, *tables])
        self._numbers = self.packs["number"].copy()
        ends = np.cumsum(self.packs["chunks"])
        self._first = ends - self.packs["chunks"]
        size = int(ends[-1] + 7) // 8 if len(ends) else 0
        self._bits = _longer(self._bits, size)
        self.places = _longer(self.places, len(self.packs))
        self.bytes = _longer(self.bytes, len(self.packs))
        self.raw = _longer(self.raw, len(self.packs))
        self.fleeting = _longer(self.fleeting, len(self.packs))
        self.spared = _longer(self.spared, len(self.packs))
        new = np.ones(len(self.packs) - len(self.there), bool)
        self.there = np.concatenate([self.there, new])

    # Marking

    def mark(self, ids: Iterable[bytes]) -> Marked:
        """Mark chunks, data or objects, that are needed."""
        wanted = sorted(set(ids))
        there, new = self._mark(wanted)
        nowhere = [] if _distinct(there) == len(wanted) else _missing(wanted, there)
        return Marked([id_.tobytes() for id_ in new["id"]], nowhere)

    def mark_chunks(self, wanted: Sequence[bytes]) -> bool:
        """Mark chunks that are needed, none of them named twice; whether all are in packs.

        Quickest where they are in the order of their bytes.
        """
        there, _ = self._mark(wanted)
        return _distinct(there) == len(wanted)

    def _mark(self, wanted: Sequence[bytes]) -> tuple[Array, Array]:
        """All rows of chunks, and those that were marked by this."""
        there = np.frombuffer(self._index.rows(wanted), ROW)
        if len(there) and int(there["pack"].max()) > self._last:
            self.extend()
        there, where = self._known_places(there)
        begins = _begins(there)
        rows = there
        if not begins.all():
            chosen = _best(begins, self.packs["rank"][where])
            rows, where = rows[chosen], where[chosen]
        bit = self._first[where] + rows["slot"]
        fresh = ~self._is_set(bit)
        self._set(bit[fresh])
        rows, where = rows[fresh], where[fresh]
        np.add.at(self.places, where, 1)
        np.add.at(self.bytes, where, rows["stored"].astype(np.int64))
        np.add.at(self.raw, where, rows["raw"].astype(np.int64))
        return there, rows

    @contextlib.contextmanager
    def for_now(self) -> Iterator[None]:
        """What is marked meanwhile will not be needed for long."""
        before = self.places.copy()
        yield
        self.fleeting += self.places
        self.fleeting[: len(before)] -= before

    def is_marked(self, ids: Iterable[bytes]) -> set[bytes]:
        """Those of `ids` of which any place is marked, or in a pack that stays or is new."""
        rows, where = self._known_places(np.frombuffer(self._index.rows(sorted(set(ids))), ROW))
        stays = self.spared[where] | (where >= self.known)
        marked = rows["id"][stays | self._is_set(self._first[where] + rows["slot"])]
        return {id_.tobytes() for id_ in marked}

    def unmarked(self, row: int) -> int:
        """What the places of a pack that are not marked take on the backends."""
        pack = self.packs[row]
        return int((pack["length"] - self.bytes[row]) * pack["stored"] // pack["length"])

    def stored_since(
        self, before: npt.NDArray[np.int64], but: npt.NDArray[np.bool_] | None = None
    ) -> int:
        """What was marked since `bytes` was `before` takes on the backends, data only, and not in
        the packs `but`.

        A chunk's share of its pack's shards is as large as its share of the pack.
        """
        sizes = self.bytes.copy()
        sizes[: len(before)] -= before
        if but is not None:
            sizes[: len(but)][but] = 0
        data = self.packs["kind"] == Kind.DATA
        shares = sizes[data] * self.packs["stored"][data] // self.packs["length"][data]
        return int(shares.sum())

    def slots(self, pack: int) -> list[int]:
        """The marked slots of the pack in that row of `packs`."""
        count = int(self.packs["chunks"][pack])
        bits = self._first[pack] + np.arange(count)
        return [int(slot) for slot in np.flatnonzero(self._is_set(bits))]

    def clear(self, pack: int) -> None:
        """Forget the marks of one pack: what they stood for has another place."""
        bits = self._first[pack] + np.arange(int(self.packs["chunks"][pack]))
        np.bitwise_and.at(self._bits, bits >> 3, ~(1 << (bits & 7)).astype(np.uint8))
        self.places[pack] = self.bytes[pack] = self.raw[pack] = self.fleeting[pack] = 0

    def number(self, row: int) -> PackNumber:
        """The number of the pack in that row of `packs`."""
        return PackNumber(int(self.packs["number"][row]))

    def _known_places(self, rows: Array) -> tuple[Array, Array]:
        """Rows whose pack is in the table, and where in it."""
        if not len(self._numbers):
            return rows[:0], np.zeros(0, np.int64)
        where, known = self._where(rows["pack"])
        known &= rows["slot"] < self.packs["chunks"][where]
        return (rows, where) if known.all() else (rows[known], where[known])

    def _where(self, numbers: Array) -> tuple[Array, Array]:
        """The rows of packs, and whether those have their numbers; there is one at least."""
        wanted = numbers.astype(np.uint32)
        where = np.minimum(np.searchsorted(self._numbers, wanted), len(self._numbers) - 1)
        return where, self._numbers[where] == wanted

    def _is_set(self, bits: Array) -> Array:
        found: Array = (self._bits[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1 == 1
        return found

    def _set(self, bits: Array) -> None:
        np.bitwise_or.at(self._bits, bits >> 3, (1 << (bits & 7)).astype(np.uint8))


def _row(record: PackRecord, rank: Rank) -> tuple[object, ...]:
    return (
        record.number,
        bytes(record.id),
        record.kind,
        record.chunk_count,
        record.length,
        stored_size(record),
        rank(record),
    )


def _begins(rows: Array) -> Array:
    """For each row, whether it is the first one of its chunk."""
    ids = rows["id"]
    return np.concatenate([np.ones(min(1, len(ids)), bool), ids[1:] != ids[:-1]])


def _best(begins: Array, rank: Array) -> Array:
    """Which of several places of a chunk to mark: the best, or all where that is not whole."""
    group = np.cumsum(begins) - 1
    best = np.zeros(int(group[-1]) + 1, np.int64)
    np.maximum.at(best, group, rank)
    chosen: Array = (rank == best[group]) | (best[group] & WHOLE == 0)
    return chosen


def _distinct(rows: Array) -> int:
    """How many chunks the rows are of."""
    return int(_begins(rows).sum())


def _missing(wanted: Sequence[bytes], rows: Array) -> list[bytes]:
    there = {id_.tobytes() for id_ in rows["id"]}
    return [id_ for id_ in wanted if id_ not in there]


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.concatenate([array, np.zeros(length - len(array), array.dtype)])
