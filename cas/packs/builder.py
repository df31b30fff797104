"""Packs in the making: chunks laid end to end in a buffer, then sealed into shards.

Pure but for the memory it fills. A builder is used by one task at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from ...backends.base import Buffer
from ...erasure.codec import encode
from ...erasure.scheme import Scheme
from ...ids import ChunkId, PackId, StoreId, random_pack_id
from ..buffers import BufferPool
from ..encryption.storecipher import CLEAR, StoreCipher
from ..formats.chunktable import PACK_CHUNKS, PACK_SIZE, Kind, PackedChunk, encode_table
from ..formats.shard import PackInfo, encode_tail, hash_blocks, shard_length

if TYPE_CHECKING:
    from ..encryption.packcipher import PackCipher

SMALL_PACK: Final = 1 << 20
"""Packs shorter than this are replicated instead of split."""
MAX_SEALED: Final = 128 << 20
"""A pack with its parity stays within this many bytes of memory."""


@dataclass(frozen=True, slots=True)
class NewChunk:
    """A chunk on its way into a pack; `encoded` must stay as it is until it was appended."""

    id: ChunkId
    encoded: Buffer
    raw: int
    codec: int
    element: int


@dataclass(frozen=True, slots=True)
class SealedPack:
    """A pack ready to be stored: `payloads[i]` and `tails[i]` make shard i."""

    info: PackInfo
    payloads: tuple[memoryview, ...]
    tails: tuple[bytes, ...]

    @property
    def stored(self) -> int:
        """Bytes that all shards take together."""
        return sum(len(p) + len(t) for p, t in zip(self.payloads, self.tails, strict=True))


def pack_limit(scheme: Scheme) -> int:
    """Longest pack of a scheme, bytes: 64 MiB, less where parity would need too much memory."""
    if scheme.k == 1:
        return PACK_SIZE
    whole = MAX_SEALED * scheme.k // scheme.n
    return min(PACK_SIZE, whole >> 20 << 20)


class PackBuilder:
    """One open pack of at most `limit` bytes and `most` chunks, encrypted where `cipher` does.
    `buffers` must give slots of at least `pack_limit` plus padding.

    Its id is drawn when it is begun, for its chunks are encrypted with it; it is sealed once.
    """

    def __init__(
        self,
        kind: Kind,
        limit: int,
        buffers: BufferPool,
        most: int = PACK_CHUNKS,
        cipher: StoreCipher = CLEAR,
    ) -> None:
        self._id = random_pack_id()
        self._cipher = cipher.pack(self._id)
        self._overhead = cipher.overhead
        self._kind = kind
        self._limit = limit
        self._most = most
        self._buffer = buffers.take()
        self._chunks: list[PackedChunk] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def kind(self) -> Kind:
        """What it holds."""
        return self._kind

    @property
    def count(self) -> int:
        """Chunks in it so far."""
        return len(self._chunks)

    def fits(self, size: int) -> bool:
        """Whether one more chunk of `size` encoded bytes fits."""
        return (
            self._length + size + self._overhead <= self._limit and len(self._chunks) < self._most
        )

    def append(self, chunk: NewChunk) -> None:
        """Copy one chunk in, encrypted on the way; it must fit."""
        size = len(chunk.encoded) + self._overhead
        if self._cipher is None:
            # NumPy's copy lets go of the GIL, a memoryview's does not.
            target = np.frombuffer(self._buffer, np.uint8, size, self._length)
            np.copyto(target, np.frombuffer(chunk.encoded, np.uint8))
        else:
            room = self._buffer[self._length : self._length + size]
            self._cipher.seal(len(self._chunks), chunk.encoded, room)
        self._chunks.append(
            PackedChunk(
                chunk.id, self._length, size, chunk.raw, chunk.codec, self._kind, chunk.element
            )
        )
        self._length += size

    def seal(self, store: StoreId, wanted: Scheme, parity: BufferPool) -> SealedPack:
        """Close the pack: pad it, compute parity, block hashes and footers. CPU work: in a thread.

        Object packs and small packs are replicated 1+m, all others use the `wanted` scheme.
        """
        small = self._kind is Kind.OBJECT or self._length < SMALL_PACK
        scheme = Scheme(1, wanted.m) if small else wanted
        size = shard_length(self._length, scheme.k)
        self._buffer[self._length : scheme.k * size] = bytes(scheme.k * size - self._length)
        payloads = _payloads(self._buffer, scheme, size, parity)
        return seal(
            store,
            self._id,
            scheme,
            self._kind,
            self._length,
            payloads,
            self._chunks,
            self._cipher,
        )


def _payloads(
    buffer: memoryview, scheme: Scheme, size: int, parity: BufferPool
) -> tuple[memoryview, ...]:
    data = [buffer[i * size : (i + 1) * size] for i in range(scheme.k)]
    if scheme.k == 1:
        return tuple(data * scheme.n)
    if not scheme.m:
        return tuple(data)
    room = parity.take()
    extra = [room[i * size : (i + 1) * size] for i in range(scheme.m)]
    encode(scheme, data, extra)
    return (*data, *extra)


def seal(
    store: StoreId,
    pack: PackId,
    scheme: Scheme,
    kind: Kind,
    length: int,
    payloads: Sequence[memoryview],
    chunks: Sequence[PackedChunk],
    cipher: "PackCipher | None" = None,
) -> SealedPack:
    """Footers and trailers for the payloads of all k+m shards; also what repair makes again."""
    if scheme.k == 1:
        blocks: tuple[bytes, ...] = (hash_blocks(payloads[0]),) * scheme.n
    else:
        blocks = tuple(hash_blocks(payload) for payload in payloads)
    size = len(payloads[0])
    table = encode_table(chunks)
    sealed = None if cipher is None else cipher.seal_table(table)
    info = PackInfo(
        store, pack, scheme.k, scheme.m, kind, length, size, blocks, tuple(chunks), sealed
    )
    table = table if sealed is None else info.table
    tails = tuple(encode_tail(info, index, table) for index in range(scheme.n))
    return SealedPack(info, tuple(payloads), tails)
