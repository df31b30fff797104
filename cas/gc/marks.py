"""Marks: one bit for every place of every pack, for "this is still needed".

A chunk is marked in one place: in the best of its packs (`standing`), among equals the newest; so a
chunk that was copied to another pack no longer holds the old one. Where shards are missing of the
best one, every place is marked: any of them may be what saves it.

Memory, whatever the number of files: a bit a place and some 80 bytes a pack.

Synchronous; used by one worker thread at a time.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ConflictError
from ...ids import PackNumber
from ..capacity import shard_size
from ..formats.chunktable import Kind
from ..index.index import Index
from ..index.records import PackRecord
from .standing import WHOLE

Array = npt.NDArray[Any]

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
    """The marks of one collection. `rank` says how good a pack is, as `standing.rank` does."""

    def __init__(self, index: Index, rank: Callable[[PackRecord], int]) -> None:
        self._index = index
        self._rank = rank
        self.packs: Array = np.zeros(0, PACK)
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
        after = int(self.packs["number"][-1]) if len(self.packs) else 0
        self._append(self._table(after))

    def check(self) -> bool:
        """Take in everything that happened meanwhile: packs that came, and those that went.

        False where one in which something is marked went, or is not as good as it was: then another
        place may be the better one, and the marks must be made anew. ConflictError where the index
        was made anew: then no number means what it did.
        """
        now = self._table(0)
        old = self.packs
        at = np.searchsorted(now["number"], old["number"])
        at[at == len(now)] = 0
        there = now["number"][at] == old["number"] if len(now) else np.zeros(len(old), bool)
        same = now["id"][at[there]] == old["id"][there]
        last = old["number"][-1] if len(old) else 0
        if not same.all() or int((now["number"] <= last).sum()) != int(there.sum()):
            raise ConflictError("the index was made anew while gc ran; run it again")
        worse = ~there
        worse[there] = now["rank"][at[there]] < old["rank"][there]
        old["rank"][there] = now["rank"][at[there]]
        self.there[: len(old)] = there
        holds = not (worse & (self.places > 0)).any()
        self._append(now[now["number"] > last])
        return holds

    def forget(self) -> None:
        """Take all marks away; what is known of the packs stays."""
        for array in (self._bits, self.places, self.bytes, self.raw, self.fleeting):
            array[:] = 0

    def _table(self, after: int) -> Array:
        # Filled as it grows: of very many packs no second copy is made.
        return np.fromiter(map(self._row, self._index.packs(after=after)), PACK)

    def _row(self, record: PackRecord) -> tuple[object, ...]:
        stored = sum(shard_size(record, i) for i in range(record.n))
        return (
            record.number,
            bytes(record.id),
            record.kind,
            record.chunk_count,
            record.length,
            stored,
            self._rank(record),
        )

    def _append(self, rows: Array) -> None:
        self.packs = np.concatenate([self.packs, rows])
        ends = np.cumsum(self.packs["chunks"])
        self._first = ends - self.packs["chunks"]
        size = int(ends[-1] + 7) // 8 if len(ends) else 0
        self._bits = _longer(self._bits, size)
        self.places = _longer(self.places, len(self.packs))
        self.bytes = _longer(self.bytes, len(self.packs))
        self.raw = _longer(self.raw, len(self.packs))
        self.fleeting = _longer(self.fleeting, len(self.packs))
        self.spared = _longer(self.spared, len(self.packs))
        self.there = np.concatenate([self.there, np.ones(len(rows), bool)])

    # Marking

    def mark(self, ids: Iterable[bytes]) -> Marked:
        """Mark chunks, data or objects, that are needed."""
        wanted = sorted(set(ids))
        if not wanted:
            return Marked([], [])
        rows = np.frombuffer(self._index.rows(wanted), ROW)
        packs = self.packs["number"]
        if len(rows) and int(rows["pack"].max()) > (int(packs[-1]) if len(packs) else 0):
            self.extend()
        rows, where = self._known_places(rows)
        begins = _begins(rows)
        found = int(begins.sum())
        nowhere = [] if found == len(wanted) else _missing(wanted, rows)
        if len(rows) > found:
            chosen = _best(begins, self.packs["rank"][where])
            rows, where = rows[chosen], where[chosen]
        bit = self._first[where] + rows["slot"]
        fresh = ~self._is_set(bit)
        self._set(bit[fresh])
        np.add.at(self.places, where[fresh], 1)
        np.add.at(self.bytes, where[fresh], rows["stored"][fresh].astype(np.int64))
        np.add.at(self.raw, where[fresh], rows["raw"][fresh].astype(np.int64))
        return Marked([id_.tobytes() for id_ in rows["id"][fresh]], nowhere)

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
        numbers = self.packs["number"]
        if not len(numbers):
            return rows[:0], np.zeros(0, np.int64)
        where = np.minimum(np.searchsorted(numbers, rows["pack"]), len(numbers) - 1)
        known = numbers[where] == rows["pack"]
        known &= rows["slot"] < self.packs["chunks"][where]
        return rows[known], where[known]

    def _is_set(self, bits: Array) -> Array:
        found: Array = (self._bits[bits >> 3] >> (bits & 7).astype(np.uint8)) & 1 == 1
        return found

    def _set(self, bits: Array) -> None:
        np.bitwise_or.at(self._bits, bits >> 3, (1 << (bits & 7)).astype(np.uint8))


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


def _missing(wanted: list[bytes], rows: Array) -> list[bytes]:
    there = {id_.tobytes() for id_ in rows["id"]}
    return [id_ for id_ in wanted if id_ not in there]


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    return np.concatenate([array, np.zeros(length - len(array), array.dtype)])
