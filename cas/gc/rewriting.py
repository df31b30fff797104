"""Packs rewritten: what is still needed of them is copied, verified, into new packs.

For packs of which little is needed, and for small ones that become few. The encoded bytes are
copied as they are (where they are encrypted, for the new pack), each chunk decoded and compared
with its id first. A pack that is not sound in all that is needed of it stays. The new packs protect
as much as the old ones did.

Concurrency: one pack is read while the one before is stored. Memory: what one add takes.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ...erasure.scheme import Scheme
from ...errors import BackendError, ChunkDamagedError, DamageError, one_failure
from ...ids import ObjectId, PackId, StoreId
from ..formats.chunktable import Kind, PackedChunk
from ..index.index import Index
from ..index.records import LOCATION_SIZE, Location, PackRecord
from ..journal.journal import Journal
from ..packer import LaneName, Packer
from ..packs.builder import NewChunk
from ..packs.pool import SCRATCH, Pool
from ..packs.scrutiny import agreed, load_sound, read_footers
from ..packs.verifying import ChunkOpener
from ..schemes import scheme_like

_ID: Final = 32

Slotted = tuple[int, PackedChunk]
"""A chunk with its slot."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Victim:
    """A pack to be rewritten: its row in the marks, and the slots of it that are needed."""

    row: int
    pack: PackRecord
    slots: Sequence[int]


@dataclass(frozen=True, slots=True)
class Copied:
    """A pack of which everything needed was copied, and the packs that hold that now, and more."""

    victim: Victim
    into: Sequence[PackId]


@dataclass(slots=True)
class Rewritten:
    """What was rewritten; how many packs were made of it, and their bytes with parity."""

    done: list[Copied]
    packs: int = 0
    written: int = 0


class Rewriter:
    """Copies chunks of a store whose new packs are of `scheme`: into packs that protect as the
    old ones did, or `always` into such."""

    def __init__(
        self,
        store: StoreId,
        scheme: Scheme,
        index: Index,
        pool: Pool,
        journal: Journal,
        *,
        always: bool = False,
    ) -> None:
        self._store = store
        self._scheme = scheme
        self._index = index
        self._pool = pool
        self._journal = journal
        self._always = always

    async def run(self, victims: Sequence[Victim]) -> Rewritten:
        """Rewrite packs, those that are protected alike together; all of it is in the index."""
        result = Rewritten([])
        for scheme, alike in self._groups(victims):
            with one_failure():
                await self._rewrite(scheme, alike, result)
        return result

    def _groups(self, victims: Sequence[Victim]) -> Iterator[tuple[Scheme, list[Victim]]]:
        groups: dict[Scheme, list[Victim]] = {}
        for victim in victims:
            pack, own = victim.pack, self._scheme
            scheme = own if self._always else scheme_like(own, pack.k, pack.m)
            groups.setdefault(scheme, []).append(victim)
        yield from groups.items()

    async def _rewrite(self, scheme: Scheme, victims: list[Victim], result: Rewritten) -> None:
        copied: list[Victim] = []
        made: list[PackId] = []
        async with trio.open_nursery() as nursery:
            packer = Packer(
                self._store, scheme, self._pool, self._journal, nursery, made=made.append
            )
            for victim in victims:
                try:
                    await self._copy(victim, packer)
                except DamageError as error:
                    log.warning("pack %s stays as it is: %s", victim.pack.id.hex(), error)
                else:
                    copied.append(victim)
            await packer.flush()
            packer.close()
        result.done += [Copied(victim, made) for victim in copied]
        result.packs += packer.packs
        result.written += packer.written

    async def _copy(self, victim: Victim, packer: Packer) -> None:
        table = await self._table(victim.pack)
        wanted = [table[slot] for slot in victim.slots]
        await trio.to_thread.run_sync(self._check_slots, victim, wanted)
        opener = ChunkOpener.of(self._pool.members.cipher, victim.pack.id)
        for run in _runs(list(zip(victim.slots, wanted, strict=True))):
            chunks, objects = await self._load(victim.pack, run, opener)
            if victim.pack.kind is Kind.OBJECT:
                await packer.put_objects(chunks, objects)
            else:
                await packer.put(LaneName.LARGE, chunks)

    async def _table(self, pack: PackRecord) -> tuple[PackedChunk, ...]:
        for footer in agreed(await read_footers(self._pool, pack)):
            if footer.chunks is not None:
                return footer.chunks
        raise ChunkDamagedError("none of its footers can be had")

    def _check_slots(self, victim: Victim, wanted: Sequence[PackedChunk]) -> None:
        """The footers must speak of the chunks that the index means, else one were forgotten."""
        ids = sorted(chunk.id for chunk in wanted)
        packed = bytes(self._index.rows(ids))
        step = _ID + LOCATION_SIZE
        found = set()
        for at in range(0, len(packed), step):
            place = Location.decode(packed[at + _ID : at + step])
            if place.pack == victim.pack.number:
                found.add((packed[at : at + _ID], place.slot))
        for chunk, slot in zip(wanted, victim.slots, strict=True):
            if (chunk.id, slot) not in found:
                raise ChunkDamagedError("its footers contradict the index")

    async def _load(
        self, pack: PackRecord, run: Sequence[Slotted], opener: ChunkOpener
    ) -> tuple[list[NewChunk], dict[ObjectId, bytes]]:
        """Chunks that lie end to end, verified; and what they hold, if they are objects."""
        (_, first), (_, last) = run[0], run[-1]
        start = first.offset
        size = last.offset + last.stored - start
        try:
            data = await self._pool.load(pack, start, size, _buffer)
        except (DamageError, BackendError) as error:
            log.info("%s", error)
            data = _buffer(size)
        opened = await trio.to_thread.run_sync(_open_all, run, data, start, opener)
        chunks, objects = [], {}
        for (slot, chunk), found in zip(run, opened, strict=True):
            if found is None:
                stored = await load_sound(self._pool, pack, chunk.offset, chunk.stored)
                (found,) = await trio.to_thread.run_sync(
                    _open_all, [(slot, chunk)], stored, chunk.offset, opener
                )
            if found is None:
                raise ChunkDamagedError(f"chunk {chunk.id.hex()[:16]} in it is damaged")
            encoded, raw = found
            if chunk.kind is Kind.OBJECT:
                objects[ObjectId(chunk.id)] = bytes(raw)
            chunks.append(NewChunk(chunk.id, encoded, chunk.raw, chunk.codec, chunk.element))
        return chunks, objects


def _buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


def _runs(chunks: Iterable[Slotted]) -> Iterator[list[Slotted]]:
    """Chunks in runs that lie end to end, as long as the pool loads at once."""
    run: list[Slotted] = []
    for slot, chunk in chunks:
        joins = run and run[-1][1].offset + run[-1][1].stored == chunk.offset
        if run and (not joins or chunk.offset + chunk.stored - run[0][1].offset > SCRATCH):
            yield run
            run = []
        run.append((slot, chunk))
    if run:
        yield run


def _open_all(
    run: Sequence[Slotted], data: memoryview, start: int, opener: ChunkOpener
) -> list[tuple[memoryview, memoryview] | None]:
    """Each chunk encoded, and what it holds; None for one that does not verify."""
    found: list[tuple[memoryview, memoryview] | None] = []
    for slot, chunk in run:
        stored = data[chunk.offset - start : chunk.offset - start + chunk.stored]
        try:
            encoded = opener.encoded(slot, stored)
        except ChunkDamagedError:
            found.append(None)
            continue
        raw = opener.raw(chunk, encoded)
        found.append(None if raw is None else (encoded, raw))
    return found
