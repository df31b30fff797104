"""Chunks that can still be had of packs that are lost, stored again in packs of their own.

The chunks are laid into the new pack as they were encoded; objects that only the index's mirror
has are encoded anew. The old pack stays as it is: nothing needs it then, and `gc` removes it.

Memory: one pack with its parity at a time.
"""

from collections.abc import Iterable, Sequence

import trio

from ...erasure.scheme import Scheme
from ...ids import ObjectId
from ..buffers import BufferPool
from ..codecs.registry import decode
from ..formats.chunktable import Kind
from ..index.index import Index
from ..index.records import PackRecord
from ..journal.journal import Journal
from ..packer import fill
from ..packs.builder import NewChunk, PackBuilder, pack_limit
from ..packs.encoding import encode_objects
from ..packs.pool import Pool
from ..schemes import scheme_like
from .judgement import Judgement


class Rescuer:
    """Stores chunks again, protected as they were. `scheme` is the store's."""

    def __init__(self, index: Index, pool: Pool, journal: Journal, scheme: Scheme) -> None:
        self._index = index
        self._pool = pool
        self._journal = journal
        self._scheme = scheme

    async def chunks(self, judgement: Judgement, slots: Iterable[int]) -> int:
        """Store those chunks of a pack again that the index knows in no healthy one; how many."""
        chunks, objects = await trio.to_thread.run_sync(self._saved, judgement, list(slots))
        scheme = scheme_like(self._scheme, judgement.info.k, judgement.info.m)
        await self._store(judgement.info.kind, scheme, chunks, objects)
        return len(chunks)

    def _saved(
        self, judgement: Judgement, slots: list[int]
    ) -> tuple[list[NewChunk], dict[ObjectId, bytes]]:
        chunks: list[NewChunk] = []
        objects: dict[ObjectId, bytes] = {}
        for slot in self._homeless(judgement, slots):
            data, c = judgement.chunk(slot), judgement.info.chunks[slot]
            if data is None:
                continue
            chunks.append(NewChunk(c.id, data, c.raw, c.codec, c.element))
            if c.kind is Kind.OBJECT:
                out = bytearray(c.raw)
                decode(c.codec, data, memoryview(out))
                objects[ObjectId(c.id)] = bytes(out)
        return chunks, objects

    def _homeless(self, judgement: Judgement, slots: list[int]) -> list[int]:
        ids = [judgement.info.chunks[slot].id for slot in slots]
        places = self._index.locate(ids)
        homeless, seen = [], set()
        for slot, id_, found in zip(slots, ids, places, strict=True):
            packs = [self._index.pack(place.pack) for place in found]
            others = [
                (place, pack)
                for place, pack in zip(found, packs, strict=True)
                if pack is not None and pack.id != judgement.info.pack
            ]
            if id_ not in seen and not any(
                self._pool.healthy(pack, place.offset, place.stored) for place, pack in others
            ):
                seen.add(id_)
                homeless.append(slot)
        return homeless

    async def data(self, chunks: Sequence[NewChunk], like: PackRecord | None) -> None:
        """Store chunks of files, protected as they were in the pack `like`, if that is known."""
        scheme = self._scheme if like is None else scheme_like(self._scheme, like.k, like.m)
        await self._store(Kind.DATA, scheme, chunks, {})

    async def objects(self, ids: Sequence[ObjectId]) -> None:
        """Store objects again that the index's mirror has."""
        found = {id_: self._index.object(id_) or b"" for id_ in ids}
        found = {id_: data for id_, data in found.items() if self._index.ids.object(data) == id_}
        chunks = await trio.to_thread.run_sync(encode_objects, found)
        await self._store(Kind.OBJECT, self._scheme, chunks, found)

    async def _store(
        self,
        kind: Kind,
        scheme: Scheme,
        chunks: Sequence[NewChunk],
        objects: dict[ObjectId, bytes],
    ) -> None:
        limit = pack_limit(scheme)
        slot = limit + 64 * scheme.k
        packs = BufferPool(slot, 1, populate=False)
        parity = BufferPool(max(1, scheme.m) * -(-slot // scheme.k) + 64, 1, populate=False)
        at = 0
        while at < len(chunks):
            builder, first = PackBuilder(kind, limit, packs, cipher=self._pool.members.cipher), at
            at = await trio.to_thread.run_sync(fill, builder, chunks, at)
            sealed = await trio.to_thread.run_sync(builder.seal, self._index.store, scheme, parity)
            stored = await self._pool.store(sealed)
            ids = [ObjectId(chunk.id) for chunk in chunks[first:at]]
            await self._journal.append([stored], {i: objects[i] for i in ids if i in objects})
            del builder, sealed
