"""Chunks as they are stored: what their codecs made, decrypted and held against their ids.

What one store has encoded another one takes as it is: codecs are the same everywhere, and only how
a pack encrypts them differs. A chunk that cannot be had so, because a shard is damaged or a backend
silent, is read as any reader reads it, and encoded anew.

Memory: what is asked for at once, encoded, and as much again decoded where it is compressed.
"""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio

from ...errors import BackendError, ChunkDamagedError, DamageError, FormatError, one_failure
from ...ids import ChunkId, PackNumber
from ..chunking.regions import ElementType
from ..formats.chunkids import ChunkIds
from ..formats.chunktable import PackedChunk
from ..index.index import Index
from ..index.records import Location, PackRecord
from ..packs.builder import NewChunk
from ..packs.encoding import Cut, encode_chunks
from ..packs.pool import SCRATCH, Pool
from ..packs.scrutiny import read_footer
from ..packs.verifying import ChunkOpener
from ..read.loader import Loader

TABLES: Final = 256
"""Packs whose element types are remembered: 16 KiB each at most."""
AT_ONCE: Final = 8
"""Extents that are read at once."""
_UNKNOWN: Final = int(ElementType.UNKNOWN)
_KNOWN: Final = frozenset(int(element) for element in ElementType)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    id: ChunkId
    place: Location
    pack: PackRecord


class Frames:
    """Reads chunks of one store for another one, whose ids are `ids`."""

    def __init__(self, index: Index, pool: Pool, loader: Loader, ids: ChunkIds) -> None:
        self._index = index
        self._pool = pool
        self._loader = loader
        self._ids = ids
        self._cipher = pool.members.cipher
        self._elements: OrderedDict[PackNumber, bytes] = OrderedDict()
        self._reading = trio.Semaphore(AT_ONCE)
        self.anew = 0
        """Chunks that were encoded anew."""

    async def load(self, ids: Sequence[ChunkId]) -> dict[ChunkId, NewChunk]:
        """Chunks by the ids they have here, each under the id that it has there.

        DataLostError or ChunkDamagedError where one cannot be had any more.
        """
        extents = await trio.to_thread.run_sync(self._plan, ids)
        for extent in extents:
            await self._learn(extent[0].pack)
        found: dict[ChunkId, NewChunk] = {}

        async def read(extent: list[_Place]) -> None:
            async with self._reading:
                found.update(await self._read(extent))

        async with trio.open_nursery() as nursery:
            for extent in extents:
                nursery.start_soon(read, extent)
        if missing := [id_ for id_ in ids if id_ not in found]:
            found.update(await self._read_anyhow(missing))
        return found

    def _plan(self, ids: Sequence[ChunkId]) -> list[list[_Place]]:
        """Runs of chunks that lie end to end, of those that have a place."""
        packs: dict[PackNumber, PackRecord | None] = {}
        extents: list[list[_Place]] = []
        for id_, places in zip(ids, self._index.locate(ids), strict=True):
            chunk = self._best(id_, places, packs)
            if chunk is None:
                continue
            if extents and _joins(extents[-1], chunk):
                extents[-1].append(chunk)
            else:
                extents.append([chunk])
        return extents

    def _best(
        self, id_: ChunkId, places: list[Location], packs: dict[PackNumber, PackRecord | None]
    ) -> _Place | None:
        for place in places:
            if place.pack not in packs:
                packs[place.pack] = self._index.pack(place.pack)
            pack = packs[place.pack]
            if pack is not None and self._pool.healthy(pack, place.offset, place.stored):
                return _Place(id_, place, pack)
        return None

    async def _learn(self, pack: PackRecord) -> None:
        """Find out of what elements the chunks of a pack are: the index does not say."""
        if pack.number in self._elements:
            self._elements.move_to_end(pack.number)
            return
        # Shards from the last one of data on have the table for sure.
        found = b""
        for index in (*range(pack.k - 1, pack.n), *range(pack.k - 1)):
            try:
                footer = await read_footer(self._pool, pack, index)
            except (BackendError, DamageError, FormatError) as error:
                log.info("%s", error)
                continue
            if footer.chunks is not None:
                found = bytes(chunk.element for chunk in footer.chunks)
                break
        self._elements[pack.number] = found
        if len(self._elements) > TABLES:
            self._elements.popitem(last=False)

    def _element(self, chunk: _Place) -> int:
        elements = self._elements.get(chunk.pack.number, b"")
        slot = chunk.place.slot
        return elements[slot] if slot < len(elements) else _UNKNOWN

    async def _read(self, extent: list[_Place]) -> dict[ChunkId, NewChunk]:
        first, last = extent[0].place, extent[-1].place
        size = last.offset + last.stored - first.offset
        pack = extent[0].pack
        try:
            with one_failure():
                data = await self._pool.load(pack, first.offset, size, _buffer)
        except (DamageError, BackendError) as error:
            log.info("%s", error)
            return {}
        return await trio.to_thread.run_sync(self._open, extent, data)

    def _open(self, extent: list[_Place], data: memoryview) -> dict[ChunkId, NewChunk]:
        opener = ChunkOpener.of(self._cipher, extent[0].pack.id)
        found: dict[ChunkId, NewChunk] = {}
        for chunk in extent:
            place = chunk.place
            at = place.offset - extent[0].place.offset
            packed = PackedChunk(
                chunk.id, place.offset, place.stored, place.raw, place.codec, place.kind, 0
            )
            try:
                encoded = opener.encoded(place.slot, data[at : at + place.stored])
                raw = opener.raw(packed, encoded)
            except ChunkDamagedError:
                continue
            if raw is not None:
                found[chunk.id] = NewChunk(
                    self._ids.of(raw), encoded, place.raw, place.codec, self._element(chunk)
                )
        return found

    async def _read_anyhow(self, ids: Sequence[ChunkId]) -> dict[ChunkId, NewChunk]:
        """Chunks as any reader gets them, from whatever is left of them."""
        places = await trio.to_thread.run_sync(self._index.locate, ids)
        found: dict[ChunkId, NewChunk] = {}
        for id_, known in zip(ids, places, strict=True):
            loaded = (await self._loader.load([id_]))[id_]
            element = self._element_anywhere(known)
            found[id_] = await trio.to_thread.run_sync(self._encode, loaded.data, element)
            self.anew += 1
        return found

    def _element_anywhere(self, places: Sequence[Location]) -> ElementType:
        for place in places:
            elements = self._elements.get(place.pack, b"")
            if place.slot < len(elements) and elements[place.slot] in _KNOWN:
                return ElementType(elements[place.slot])
        return ElementType.UNKNOWN

    def _encode(self, data: memoryview, element: ElementType) -> NewChunk:
        (chunk,) = encode_chunks([Cut(self._ids.of(data), data, element, None)])
        return chunk


def _joins(extent: list[_Place], chunk: _Place) -> bool:
    first, last = extent[0].place, extent[-1].place
    here = chunk.place
    beside = last.pack == here.pack and last.offset + last.stored == here.offset
    return beside and here.offset + here.stored - first.offset <= SCRATCH


def _buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))
