"""Footer and trailer of a shard. `docs/format.md`, Shard.

Both are deterministic: the same pack gives the same bytes, so repair can make a lost shard again.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from blake3 import blake3

from ...errors import ShardDamagedError
from ...ids import PackId, StoreId
from .chunktable import (
    CODEC_AT,
    ENTRY,
    PACK_CHUNKS,
    PACK_SIZE,
    TAG_SIZE,
    Kind,
    PackedChunk,
    decode_table,
    encode_table,
)
from .flags import ENCRYPTED, KNOWN, VERSION, check_readable, codec_flags

BLOCK: Final = 1 << 20
"""A footer holds the BLAKE3 of every block of this many payload bytes."""
TRAILER_SIZE: Final = 64
MAGIC: Final = b"MFLTSHRD"
HAS_TABLE: Final = 1
MAX_FOOTER: Final = 96 + 48 * (PACK_CHUNKS + 64) + 32 * 48 * 80

_ALIGN: Final = 64
LONGEST: Final = PACK_SIZE + _ALIGN + MAX_FOOTER + TRAILER_SIZE
"""More bytes than any shard has."""
_TRAILER: Final = struct.Struct("<8sHxxIIII32s")
_CRC: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<16s16sBBBBIQQII16s16x")
FOOTER_HEAD: Final = _HEAD.size
"""Bytes of a footer before its block hashes."""


_NO_TAG: Final = bytes(TAG_SIZE)


class Tables(Protocol):
    """How the chunk tables of a store's packs are encrypted, if they are."""

    @property
    def encrypted(self) -> bool:
        """Whether they are."""

    @property
    def overhead(self) -> int:
        """Bytes by which a chunk may be longer than raw."""

    def open_table(self, pack: PackId, sealed: bytes) -> bytes | None:
        """A table in the clear, None without the key; ShardDamagedError where it is none of that
        pack and store."""


def shard_length(pack_length: int, k: int) -> int:
    """S: bytes of payload of each shard of a pack of `pack_length` bytes."""
    return _ALIGN * -(-pack_length // (_ALIGN * k))


def block_count(shard_payload: int) -> int:
    """B: blocks in a payload of that many bytes."""
    return -(-shard_payload // BLOCK)


def hash_blocks(payload: memoryview) -> bytes:
    """The BLAKE3s of a payload's blocks, end to end; lets go of the GIL."""
    return b"".join(
        blake3(payload[at : at + BLOCK]).digest() for at in range(0, len(payload), BLOCK)
    )


@dataclass(frozen=True, slots=True)
class PackInfo:
    """What all footers of one pack say: everything but the shard's own index.

    `blocks` holds for each of the k+m shards the BLAKE3s of its payload's blocks, end to end.
    `sealed` is the chunk table of an encrypted pack as it is stored, its tag last; where the key is
    not there `chunks` are none.
    """

    store: StoreId
    pack: PackId
    k: int
    m: int
    kind: Kind
    length: int
    shard: int
    blocks: tuple[bytes, ...]
    chunks: tuple[PackedChunk, ...]
    sealed: bytes | None = None

    @property
    def chunk_count(self) -> int:
        """How many chunks the pack has."""
        if self.sealed is None:
            return len(self.chunks)
        return (len(self.sealed) - TAG_SIZE) // ENTRY.size

    @property
    def table(self) -> bytes:
        """The chunk table as it is stored, without its tag."""
        return encode_table(self.chunks) if self.sealed is None else self.sealed[:-TAG_SIZE]


@dataclass(frozen=True, slots=True)
class Footer:
    """One decoded footer; `chunks` is None where this shard does not carry the table.

    `sealed` is as in `PackInfo`; without the key `chunks` are none where there is a table.
    """

    store: StoreId
    pack: PackId
    k: int
    m: int
    index: int
    kind: Kind
    length: int
    shard: int
    chunk_count: int
    blocks: tuple[bytes, ...]
    chunks: tuple[PackedChunk, ...] | None
    sealed: bytes | None = None


def carries_table(index: int, k: int, chunk_count: int, shard: int) -> bool:
    """Whether shard `index` has the chunk table in its footer."""
    return index >= k - 1 or ENTRY.size * chunk_count <= shard // 64


def encode_tail(info: PackInfo, index: int, table: bytes | None = None) -> bytes:
    """Footer and trailer of shard `index`; `table` saves encoding the same table n times."""
    if table is None:
        table = info.table
    with_table = carries_table(index, info.k, info.chunk_count, info.shard)
    head = _HEAD.pack(
        info.store,
        info.pack,
        info.k,
        info.m,
        index,
        info.kind,
        HAS_TABLE if with_table else 0,
        info.length,
        info.shard,
        info.chunk_count,
        block_count(info.shard),
        _NO_TAG if info.sealed is None else info.sealed[-TAG_SIZE:],
    )
    parts = [head, *info.blocks]
    if with_table:
        parts.append(table)
    footer = b"".join(parts)
    flags = ENCRYPTED
    if info.sealed is None:
        flags = codec_flags(table[CODEC_AT :: ENTRY.size])
    trailer = _TRAILER.pack(MAGIC, VERSION, 0, 0, flags, len(footer), blake3(footer).digest())
    return footer + trailer + _CRC.pack(zlib.crc32(trailer))


def footer_length(trailer: bytes, what: str) -> int:
    """F, from a shard's last 64 bytes. ShardDamagedError names `what`, FormatError if newer."""
    if len(trailer) != TRAILER_SIZE or trailer[:8] != MAGIC:
        raise ShardDamagedError(f"{what} does not end in a shard's trailer")
    if _CRC.unpack_from(trailer, 60)[0] != zlib.crc32(trailer[:60]):
        raise ShardDamagedError(f"{what} has a damaged trailer")
    _, version, _, _, incompat, length, _ = _TRAILER.unpack_from(trailer)
    check_readable(what, version, incompat, known=KNOWN)
    if not _HEAD.size <= length <= MAX_FOOTER:
        raise ShardDamagedError(f"{what} claims a footer of {length} bytes")
    return int(length)


def decode_tail(tail: bytes, what: str, tables: Tables | None = None) -> Footer:
    """The footer in `tail`, which is exactly footer and trailer; ShardDamagedError names `what`.

    Without `tables` that of a store which is not encrypted.
    """
    trailer = bytes(tail[-TRAILER_SIZE:])
    footer = memoryview(tail)[:-TRAILER_SIZE]
    if footer_length(trailer, what) != len(footer):
        raise ShardDamagedError(f"{what} has a footer of another length than its trailer says")
    if blake3(footer).digest() != trailer[28:60]:
        raise ShardDamagedError(f"{what} has a damaged footer")
    encrypted = bool(_TRAILER.unpack_from(trailer)[4] & ENCRYPTED)
    if encrypted != (tables is not None and tables.encrypted):
        how = "is encrypted" if encrypted else "is not encrypted"
        raise ShardDamagedError(f"{what} {how}, unlike its store")
    return _decode_footer(footer, what, tables)


def _decode_footer(footer: memoryview, what: str, tables: Tables | None) -> Footer:
    store, pack, k, m, index, kind, flags, length, shard, count, blocks, tag = _HEAD.unpack_from(
        footer
    )
    n = k + m
    hashes = 32 * n * blocks
    table_at = _HEAD.size + hashes
    sound = (
        1 <= k <= 32
        and m <= 16
        and index < n
        and kind <= Kind.OBJECT
        and 0 < length <= PACK_SIZE
        and 0 < count <= PACK_CHUNKS
        and shard == shard_length(length, k)
        and blocks == block_count(shard)
        and len(footer) == table_at + (ENTRY.size * count if flags & HAS_TABLE else 0)
    )
    if not sound:
        raise ShardDamagedError(f"{what} has a footer that contradicts itself")
    chunks = sealed = None
    if flags & HAS_TABLE and tables is not None and tables.encrypted:
        sealed = bytes(footer[table_at:]) + tag
        clear = tables.open_table(PackId(pack), sealed)
        chunks = () if clear is None else decode_table(clear, length, tables.overhead)
    elif flags & HAS_TABLE:
        chunks = decode_table(footer[table_at:], length)
    return Footer(
        StoreId(store),
        PackId(pack),
        k,
        m,
        index,
        Kind(kind),
        length,
        shard,
        count,
        _split_hashes(footer[_HEAD.size : table_at], n),
        chunks,
        sealed,
    )


def _split_hashes(hashes: memoryview, n: int) -> tuple[bytes, ...]:
    step = len(hashes) // n
    return tuple(bytes(hashes[at : at + step]) for at in range(0, len(hashes), step))


def join_tails(footers: Sequence[Footer]) -> PackInfo | None:
    """What agreeing footers of one pack say together; None while none carries the chunk table."""
    full = next((f for f in footers if f.chunks is not None), None)
    if full is None or full.chunks is None:
        return None
    f, chunks = footers[0], full.chunks
    return PackInfo(
        f.store, f.pack, f.k, f.m, f.kind, f.length, f.shard, f.blocks, chunks, full.sealed
    )
