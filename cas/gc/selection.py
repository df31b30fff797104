"""Which packs a collection deletes, which it rewrites, and which are too young to be touched.

A pack of which nothing is marked is dead. One of which less than half is marked is sparse: what is
needed of it is copied. Small packs are copied together, where that is worth it (`merging`). What
misses a shard is not copied before it was repaired. A pack younger than the grace period is left
alone: an add that broke off will be repeated and find what it had stored. The age is that of its
shards, by their backend's clock.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

import numpy as np
import trio

from ...erasure.scheme import Scheme
from ...errors import BackendError
from ...ids import PackId
from ..formats.chunktable import PACK_CHUNKS, Kind
from ..index.index import Index
from ..index.records import PackRecord
from ..packer import OBJECT_PACK_SIZE, SMALL_CHUNKS
from ..packs.builder import pack_limit
from ..packs.pool import Pool
from ..schemes import scheme_like
from .condemning import each
from .marks import Array, Marks
from .merging import Full, Small, worth_merging
from .rewriting import Victim
from .standing import WHOLE

SMALL: Final = 16 << 20
"""Data packs shorter than this many bytes are merged."""
QUARTER: Final = 4
"""A pack counts as small up to this part of the longest and of the most chunks, so that a full pack
never does and merging comes to an end."""


class Batch(NamedTuple):
    """What is rewritten before the packs that it replaces are deleted: `size` in bytes."""

    packs: int
    size: int
    chunks: int


BATCH: Final = Batch(10_000, 2 << 30, 500_000)

_Like = tuple[int, Scheme]
"""Kind and scheme of the new pack that what is copied goes into."""
_REST: Final = -1
"""The row of what is left of packs that are rewritten anyway."""

log = logging.getLogger(__name__)


class Selection:
    """Chooses among the packs of `marks`; packs written since marking began are never chosen."""

    def __init__(
        self, index: Index, pool: Pool, marks: Marks, scheme: Scheme, grace: float
    ) -> None:
        self._index = index
        self._pool = pool
        self._marks = marks
        self._scheme = scheme
        self._grace = grace
        self._young: set[int] = set()
        self._asked: set[int] = set()

    @property
    def young(self) -> int:
        """Packs that were spared because they are young."""
        return len(self._young)

    async def spare_young(self) -> None:
        """Find out which packs that might be chosen are too young, as far as it is not known."""
        if self._grace:
            rows = [row for row in self._rows(self._wanting()) if row not in self._asked]
            await each(self._spare, rows)
            self._asked.update(rows)

    async def _spare(self, row: int) -> None:
        pack = await trio.to_thread.run_sync(self.record, row)
        if pack is None or not await self._is_old(pack):
            self._young.add(row)
            self.keep(row)

    def keep(self, row: int) -> None:
        """Choose that pack never more."""
        self._marks.spared[row] = True

    def keep_packs(self, packs: AbstractSet[PackId]) -> None:
        """Choose these packs never more, as far as they are known."""
        numbers = self._marks.packs["number"]
        for id_ in packs:
            pack = self._index.pack_of_id(id_)
            row = 0 if pack is None else int(np.searchsorted(numbers, pack.number))
            if pack is not None and row < len(numbers) and numbers[row] == pack.number:
                self.keep(row)

    async def _is_old(self, pack: PackRecord) -> bool:
        """By the first shard that can be asked; a pack that none can be asked of is young."""
        for index in range(pack.n):
            member = self._pool.holder(pack, index)
            if member is None or member.down:
                continue
            try:
                return await member.backend.age(self._pool.key(pack, index)) >= self._grace
            except BackendError as error:
                log.info("%s", error)
        return False

    def dead(self) -> list[int]:
        """Rows of packs of which nothing is needed."""
        return self._rows(self._dead())

    def sparse(self) -> list[int]:
        """Rows of packs that are to be rewritten, in the order in which they were stored."""
        return self._rows(self._sparse())

    def small(self, sparse: Sequence[int] = ()) -> list[int]:
        """Rows of small packs that are to be merged, where those in `sparse` are rewritten: what is
        left of these is one more small pack of their likes."""
        apart = set(sparse)
        small = self._alike(row for row in self._rows(self._is_small()) if row not in apart)
        rests = self._alike(sparse)
        found: list[int] = []
        for like, packs in small.items():
            full = _full(like)
            rest = sum(pack.size for pack in rests.get(like, ())) % full.size
            left = [Small(_REST, rest, 0)] if rest else []
            found += [pack.row for pack in worth_merging([*packs, *left], full)]
        return sorted(row for row in found if row != _REST)

    def batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """`rows` in parts that are rewritten one after the other, those of one kind together: each
        takes room for what is copied until the old packs are deleted, and memory for its chunks."""
        for packs in self._alike(rows).values():
            batch, size, chunks = list[int](), 0, 0
            for pack in packs:
                batch.append(pack.row)
                size, chunks = size + pack.size, chunks + pack.chunks
                if len(batch) == BATCH.packs or size >= BATCH.size or chunks >= BATCH.chunks:
                    yield batch
                    batch, size, chunks = [], 0, 0
            if batch:
                yield batch

    def _alike(self, rows: Iterable[int]) -> dict[_Like, list[Small]]:
        """What is needed of the packs in `rows`, by what new pack it may share."""
        alike: dict[_Like, list[Small]] = {}
        for row in rows:
            pack = self.record(row)
            if pack is not None:
                like = (pack.kind, scheme_like(self._scheme, pack.k, pack.m))
                size, chunks = int(self._marks.bytes[row]), int(self._marks.places[row])
                alike.setdefault(like, []).append(Small(row, size, chunks))
        return alike

    def victim(self, row: int) -> Victim | None:
        """A pack that is to be rewritten; None where it is gone."""
        pack = self.record(row)
        return None if pack is None else Victim(row, pack, self._marks.slots(row))

    def record(self, row: int) -> PackRecord | None:
        """What the index knows of the pack in a row; None where it is gone."""
        return self._index.pack(self._marks.number(row))

    def _rows(self, chosen: Array) -> list[int]:
        mine = np.logical_and(chosen, ~self._marks.spared)[: self._marks.known]
        return [int(row) for row in np.flatnonzero(mine)]

    def _dead(self) -> Array:
        found: Array = np.logical_and(self._marks.there, self._marks.places == 0)
        return found

    def _sparse(self) -> Array:
        marks = self._marks
        little = np.less(2 * marks.bytes, marks.packs["length"])
        found: Array = np.logical_and(little, self._whole() & (marks.places > 0))
        return found

    def _whole(self) -> Array:
        """Packs of which no shard is missing: others are repaired before they are rewritten.

        What they hold may be marked in several of them, and would be copied as often.
        """
        found: Array = np.logical_and(self._marks.there, self._marks.packs["rank"] & WHOLE != 0)
        return found

    def _wanting(self) -> Array:
        """Packs that might be deleted, or be rewritten as something in them is not needed."""
        incomplete = self._marks.places < self._marks.packs["chunks"]
        return self._dead() | self._sparse() | (self._is_small() & incomplete)

    def _is_small(self) -> Array:
        packs = self._marks.packs
        data = min(SMALL, pack_limit(self._scheme) // QUARTER)
        objects = OBJECT_PACK_SIZE // QUARTER
        limit = np.where(packs["kind"] == Kind.OBJECT, objects, data)
        few = packs["chunks"] < PACK_CHUNKS // QUARTER
        short = np.logical_and(self._whole(), packs["length"] < limit)
        # What is soon garbage would make garbage of what it was copied together with.
        lasting: Array = (self._marks.places > 0) & (self._marks.fleeting == 0)
        found: Array = np.logical_and(short & few, lasting)
        return found


def _full(like: _Like) -> Full:
    kind, scheme = like
    if kind == Kind.OBJECT:
        return Full(OBJECT_PACK_SIZE, SMALL_CHUNKS)
    return Full(pack_limit(scheme), PACK_CHUNKS)
