"""Footer and trailer of a shard. `docs/format.md`, Shard.

Both are deterministic: the same pack gives the same bytes, so repair can make a lost shard again.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...errors import ShardDamagedError
from ...ids import PackId, StoreId
from .chunktable import (
    CODEC_AT,
    ENTRY,
    PACK_CHUNKS,
    PACK_SIZE,
    Kind,
    PackedChunk,
    decode_table,
    encode_table,
)
from .flags import LATER_CODECS, VERSION, check_readable, codec_flags

BLOCK: Final = 1 << 20
"""A footer holds the BLAKE3 of every block of this many payload bytes."""
TRAILER_SIZE: Final = 64
MAGIC: Final = b"MFLTSHRD"
HAS_TABLE: Final = 1
MAX_FOOTER: Final = 96 + 48 * (PACK_CHUNKS + 64) + 32 * 48 * 80

_ALIGN: Final = 64
_TRAILER: Final = struct.Struct("<8sHxxIIII32s")
_CRC: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<16s16sBBBBIQQII32x")
FOOTER_HEAD: Final = _HEAD.size
"""Bytes of a footer before its block hashes."""


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


@dataclass(frozen=True, slots=True)
class Footer:
    """One decoded footer; `chunks` is None where this shard does not carry the table."""

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


def carries_table(index: int, k: int, chunk_count: int, shard: int) -> bool:
    """Whether shard `index` has the chunk table in its footer."""
    return index >= k - 1 or ENTRY.size * chunk_count <= shard // 64


def encode_tail(info: PackInfo, index: int, table: bytes | None = None) -> bytes:
    """Footer and trailer of shard `index`; `table` saves encoding the same table n times."""
    if table is None:
        table = encode_table(info.chunks)
    with_table = carries_table(index, info.k, len(info.chunks), info.shard)
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
        len(info.chunks),
        block_count(info.shard),
    )
    parts = [head, *info.blocks]
    if with_table:
        parts.append(table)
    footer = b"".join(parts)
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
    check_readable(what, version, incompat, known=LATER_CODECS)
    if not _HEAD.size <= length <= MAX_FOOTER:
        raise ShardDamagedError(f"{what} claims a footer of {length} bytes")
    return int(length)


def decode_tail(tail: bytes, what: str) -> Footer:
    """The footer in `tail`, which is exactly footer and trailer; ShardDamagedError names `what`."""
    trailer = bytes(tail[-TRAILER_SIZE:])
    footer = memoryview(tail)[:-TRAILER_SIZE]
    if footer_length(trailer, what) != len(footer):
        raise ShardDamagedError(f"{what} has a footer of another length than its trailer says")
    if blake3(footer).digest() != trailer[28:60]:
        raise ShardDamagedError(f"{what} has a damaged footer")
    return _decode_footer(footer, what)


def _decode_footer(footer: memoryview, what: str) -> Footer:
    store, pack, k, m, index, kind, flags, length, shard, count, blocks = _HEAD.unpack_from(footer)
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
    chunks = decode_table(footer[table_at:], length) if flags & HAS_TABLE else None
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
    )


def _split_hashes(hashes: memoryview, n: int) -> tuple[bytes, ...]:
    step = len(hashes) // n
    return tuple(bytes(hashes[at : at + step]) for at in range(0, len(hashes), step))


def join_tails(footers: Sequence[Footer]) -> PackInfo | None:
    """What agreeing footers of one pack say together; None while none carries the chunk table."""
    table = next((f.chunks for f in footers if f.chunks is not None), None)
    if table is None:
        return None
    f = footers[0]
    return PackInfo(f.store, f.pack, f.k, f.m, f.kind, f.length, f.shard, f.blocks, table)
