"""Entries of journal records: what they say, and their bytes. `docs/format.md`, Journal."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...erasure.scheme import LARGEST_K, LARGEST_M
from ...ids import BackendId, ObjectId, PackId, WriterId
from .chunktable import ENTRY, PACK_CHUNKS, Kind, PackedChunk, decode_table, encode_table
from .refsignature import RefSignature
from .shard import shard_length

NO_ID: Final = bytes(32)
NOWHERE: Final = BackendId(bytes(16))
"""In a pack's locations: this shard is not stored."""

_PACK: Final = struct.Struct("<16sBBBxQQIxxxx")
_REF: Final = struct.Struct("<Bxxx32s32s32sq")
_PLACED: Final = struct.Struct("<16sB7x16s")
_COMPACTED: Final = struct.Struct("<16sQq32s")
_LENGTH: Final = struct.Struct("<H")


class RefKind(IntEnum):
    """A branch moves with every add; a tag stays."""

    BRANCH = 1
    TAG = 2


@dataclass(frozen=True, slots=True)
class PackStored:
    """A pack is durable: where its shards are, and its chunk table."""

    pack: PackId
    k: int
    m: int
    kind: Kind
    length: int
    shard: int
    locations: tuple[BackendId, ...]
    chunks: tuple[PackedChunk, ...]


@dataclass(frozen=True, slots=True)
class RefChanged:
    """A ref moved from `old` to `new`; NO_ID means that it was or is not there.

    `signature` is of whoever vouches for that, None where nobody does.
    """

    kind: RefKind
    vendor: str
    name: str
    ref: str
    previous: bytes
    old: ObjectId
    new: ObjectId
    time_ns: int
    signature: RefSignature | None = None

    @property
    def id(self) -> bytes:
        """The change's id, which the next change names as its previous one."""
        return blake3(encode_ref(self)).digest()


@dataclass(frozen=True, slots=True)
class ShardPlaced:
    """A shard was made again on another backend."""

    pack: PackId
    index: int
    backend: BackendId


@dataclass(frozen=True, slots=True)
class PackDeleted:
    """A pack's tombstone."""

    pack: PackId


@dataclass(frozen=True, slots=True)
class PackListed:
    """A `PackStored` whose chunk table was left as bytes: where every chunk as a value costs too
    much. The table is not checked yet."""

    pack: PackId
    k: int
    m: int
    kind: Kind
    length: int
    shard: int
    locations: tuple[BackendId, ...]
    table: bytes


@dataclass(frozen=True, slots=True)
class Compacted:
    """The entries behind this one, up to the next of its kind, are those of another record that
    still tell something: that record, whose BLAKE3 is `digest`, may be gone.

    A record with such entries is a segment.
    """

    writer: WriterId
    seq: int
    time_ns: int
    digest: bytes


JournalEntry = PackStored | RefChanged | ShardPlaced | PackDeleted | Compacted
ListedEntry = PackListed | JournalEntry
"""An entry as `list_entries` gives it, and as a record may be made of it."""


def frame(entry: ListedEntry) -> tuple[int, bytes]:
    """An entry's type and bytes."""
    match entry:
        case PackStored():
            return 1, _encode_pack(entry)
        case PackListed():
            return 1, _encode_listed(entry)
        case RefChanged():
            return (2 if entry.signature is None else 6), encode_ref(entry)
        case ShardPlaced():
            return 3, _PLACED.pack(entry.pack, entry.index, entry.backend)
        case PackDeleted():
            return 4, bytes(entry.pack)
        case Compacted():
            return 7, _COMPACTED.pack(entry.writer, entry.seq, entry.time_ns, entry.digest)


def type_and_length(entry: ListedEntry) -> tuple[int, int]:
    """An entry's type, and how many bytes it has, without making them of a chunk table."""
    match entry:
        case PackStored():
            return 1, _PACK.size + 16 * len(entry.locations) + ENTRY.size * len(entry.chunks)
        case PackListed():
            return 1, _PACK.size + 16 * len(entry.locations) + len(entry.table)
    type_, data = frame(entry)
    return type_, len(data)


def decode_entry(type_: int, payload: bytes, overhead: int = 0) -> JournalEntry:
    """An entry from its type and bytes; ValueError, struct.error or ShardDamagedError where they
    are none. `overhead` is as of `stored_pack`."""
    if type_ == 1:
        return _decode_pack(payload, overhead)
    if type_ in (2, 6):
        change = decode_ref(payload)
        if (change.signature is None) == (type_ == 2):
            return change
    if type_ == 3:
        pack, index, backend = _PLACED.unpack(payload)
        return ShardPlaced(PackId(pack), index, BackendId(backend))
    if type_ == 4 and len(payload) == 16:
        return PackDeleted(PackId(payload))
    if type_ == 7:
        writer, seq, time_ns, digest = _COMPACTED.unpack(payload)
        return Compacted(WriterId(writer), seq, time_ns, digest)
    raise ValueError(f"entry of type {type_}")


def _encode_pack(p: PackStored) -> bytes:
    return _encode_listed(listed_pack(p))


def _encode_listed(p: PackListed) -> bytes:
    head = _PACK.pack(p.pack, p.k, p.m, p.kind, p.length, p.shard, len(p.table) // ENTRY.size)
    return b"".join([head, *p.locations, p.table])


def listed_pack(p: PackStored) -> PackListed:
    """The same entry with its chunk table as bytes."""
    return PackListed(
        p.pack, p.k, p.m, p.kind, p.length, p.shard, p.locations, encode_table(p.chunks)
    )


def stored_pack(p: PackListed, overhead: int = 0) -> PackStored:
    """The same entry with its chunk table read and checked; ShardDamagedError where it cannot be.

    `overhead` is how many bytes a chunk may be longer than raw.
    """
    chunks = decode_table(p.table, p.length, overhead)
    return PackStored(p.pack, p.k, p.m, p.kind, p.length, p.shard, p.locations, chunks)


def _decode_pack(data: bytes, overhead: int) -> PackStored:
    return stored_pack(list_pack(data), overhead)


def list_pack(data: bytes) -> PackListed:
    """A pack's entry, its chunk table unread; ValueError or struct.error where it is none."""
    pack, k, m, kind, length, shard, count = _PACK.unpack_from(data)
    if not (1 <= k <= LARGEST_K and m <= LARGEST_M and 1 <= count <= PACK_CHUNKS):
        raise ValueError(f"a pack of {count} chunks as {k}+{m}")
    if shard != shard_length(length, k):
        raise ValueError(f"shards of {shard} bytes for a pack of {length}")
    at = _PACK.size + 16 * (k + m)
    if len(data) != at + ENTRY.size * count:
        raise ValueError("a chunk table of another length")
    locations = tuple(BackendId(data[i : i + 16]) for i in range(_PACK.size, at, 16))
    return PackListed(PackId(pack), k, m, Kind(kind), length, shard, locations, data[at:])


def encode_ref(r: RefChanged) -> bytes:
    """A ref change as its entry and the index hold it, its signature behind it."""
    signature = b"" if r.signature is None else r.signature.encode()
    return encode_unsigned(r) + signature


def encode_unsigned(r: RefChanged) -> bytes:
    """A ref change without its signature: what that is of."""
    head = _REF.pack(r.kind, r.previous, r.old, r.new, r.time_ns)
    return head + b"".join(_text(t) for t in (r.vendor, r.name, r.ref))


def decode_ref(data: bytes) -> RefChanged:
    """A ref change from its bytes; ValueError or struct.error where they are none."""
    kind, previous, old, new, time_ns = _REF.unpack_from(data)
    texts, at = [], _REF.size
    for _ in range(3):
        (length,) = _LENGTH.unpack_from(data, at)
        texts.append(data[at + 2 : at + 2 + length].decode())
        at += 2 + length
    vendor, name, ref = texts
    # What is no signature, and not nothing, is struct.error.
    signature = RefSignature.decode(data[at:]) if len(data) != at else None
    return RefChanged(
        RefKind(kind), vendor, name, ref, previous, ObjectId(old), ObjectId(new), time_ns, signature
    )


def _text(text: str) -> bytes:
    data = text.encode()
    return _LENGTH.pack(len(data)) + data
