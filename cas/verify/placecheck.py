"""The index held against the packs: every chunk of a pack has its place there, and nothing more.

What a pack holds is told by the chunk tables in its footers. Rows that lack or differ show when
the pack is checked; rows too many only in a pass over all of them, which counts them by pack.

Memory: four bytes a pack, and one pack's table. Synchronous parts run in worker threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import trio

from ...errors import ModelFloatError
from ...ids import ChunkId, PackNumber
from ..formats.chunktable import PackedChunk
from ..index.index import Index
from ..index.records import Location, PackRecord
from ..packs.pool import Pool
from ..packs.scrutiny import agreed, read_footers
from .report import Problem, VerifyReport

BATCH: Final = 10_000
"""Rows that are removed at once."""

Row = tuple[ChunkId, Location]
Counts = np.ndarray[tuple[int], np.dtype[np.uint32]]


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one pack that the index lacks, and rows that it has and should not."""

    missing: list[Row]
    wrong: list[Row]

    def __bool__(self) -> bool:
        return bool(self.missing or self.wrong)

    def __str__(self) -> str:
        parts = [(len(self.missing), "missing"), (len(self.wrong), "wrong")]
        said = [f"{count:,} {what}" for count, what in parts if count]
        return f"places of chunks in the index: {', '.join(said)}"


class PlaceCheck:
    """Compares tables with rows, and with `repair` mends the rows."""

    def __init__(self, index: Index, pool: Pool, report: VerifyReport, *, repair: bool) -> None:
        self._index = index
        self._pool = pool
        self._report = report
        self._repair = repair

    async def check(self, pack: PackRecord, chunks: Sequence[PackedChunk]) -> None:
        """Hold the rows of a pack's chunks against its chunk table."""
        rows = await trio.to_thread.run_sync(self._compare, pack, chunks)
        await self._mend(pack, rows)

    def _compare(self, pack: PackRecord, chunks: Sequence[PackedChunk]) -> Rows:
        expected: dict[ChunkId, set[Location]] = {}
        for slot, c in enumerate(chunks):
            place = Location(pack.number, slot, c.codec, c.kind, c.offset, c.stored, c.raw)
            expected.setdefault(c.id, set()).add(place)
        rows = Rows([], [])
        for id_, places in zip(expected, self._index.locate(list(expected)), strict=True):
            found = {place for place in places if place.pack == pack.number}
            rows.missing.extend((id_, place) for place in expected[id_] - found)
            rows.wrong.extend((id_, place) for place in found - expected[id_])
        if rows and self._is_gone(pack):
            return Rows([], [])
        return rows

    def _is_gone(self, pack: PackRecord) -> bool:
        """Whether it was deleted since it was read, or is being deleted, or was until a crash."""
        return self._index.pack(pack.number) is None or self._index.is_deleted(pack.id)

    async def _mend(self, pack: PackRecord, rows: Rows) -> None:
        if not rows:
            return
        if self._repair:
            await self._index.write(self._index.change_rows, rows.missing, rows.wrong)
        self._report.note(Problem(pack.id.hex(), 0, "", str(rows), self._repair, "index"))

    async def check_all(self) -> None:
        """Look for rows too many: more of a pack than it has chunks, or of packs that are not.

        To be called when `check` was done for all packs, so that none of their rows lacks.
        """
        counts = await trio.to_thread.run_sync(self._count)
        unknown = await trio.to_thread.run_sync(self._unknown, counts)
        if unknown:
            if self._repair:
                await trio.to_thread.run_sync(self._drop, unknown)
            strays = sum(int(counts[number]) for number in unknown)
            problem = f"places of chunks in the index: {strays:,} in packs that are not there"
            self._report.note(Problem("", 0, "", problem, self._repair, "index"))
        for number in await trio.to_thread.run_sync(self._overfull, counts):
            await self._drop_surplus(number)

    def _count(self) -> Counts:
        """Rows of each pack, by its number."""
        counts = np.zeros(1024, np.uint32)
        for _, places in self._index.each_chunk():
            for place in places:
                if place.pack >= len(counts):
                    counts = np.concatenate((counts, np.zeros(int(place.pack), np.uint32)))
                counts[place.pack] += 1
        return counts

    def _unknown(self, counts: Counts) -> frozenset[int]:
        """Numbers of packs that have rows and are not there."""
        numbers = (int(number) for number in np.flatnonzero(counts))
        return frozenset(n for n in numbers if self._index.pack(PackNumber(n)) is None)

    def _drop(self, packs: frozenset[int]) -> None:
        batch: list[Row] = []
        for id_, places in self._index.each_chunk():
            batch += [(id_, place) for place in places if place.pack in packs]
            if len(batch) >= BATCH:
                self._index.change_rows([], batch)
                batch = []
        self._index.change_rows([], batch)

    def _overfull(self, counts: Counts) -> list[PackNumber]:
        return [
            pack.number
            for pack in self._index.packs()
            if pack.number < len(counts) and counts[pack.number] > pack.chunk_count
        ]

    async def _drop_surplus(self, number: PackNumber) -> None:
        pack = self._index.pack(number)
        table = None if pack is None else await self._table(pack)
        if pack is None or table is None:
            return
        surplus = await trio.to_thread.run_sync(self._surplus, number, table)
        await self._mend(pack, Rows([], surplus))

    async def _table(self, pack: PackRecord) -> Sequence[PackedChunk] | None:
        try:
            footers = agreed(await read_footers(self._pool, pack))
        except ModelFloatError:
            return None
        if self._pool.members.cipher.locked:
            return None
        tables = [footer.chunks for footer in footers if footer.chunks is not None]
        return tables[0] if len(tables) == 1 else None

    def _surplus(self, number: PackNumber, chunks: Sequence[PackedChunk]) -> list[Row]:
        slots = {(c.id, slot) for slot, c in enumerate(chunks)}
        return [
            (id_, place)
            for id_, places in self._index.each_chunk()
            for place in places
            if place.pack == number and (id_, place.slot) not in slots
        ]
