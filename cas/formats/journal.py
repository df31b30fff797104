"""Journal records: what happened to a store, per writer, in order. `docs/format.md`, Journal."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from blake3 import blake3

from ...erasure.scheme import LARGEST_K, LARGEST_M
from ...errors import FormatError, ShardDamagedError
from ...ids import BackendId, ObjectId, PackId, StoreId, WriterId
from .chunktable import (
    ENTRY,
    PACK_CHUNKS,
    Kind,
    PackedChunk,
    codecs_of_table,
    decode_table,
    encode_table,
)
from .flags import ENCRYPTED, SEGMENT, SIGNED, VERSION, check_readable, codec_flags
from .flags import KNOWN_OF_RECORDS as KNOWN
from .refsignature import RefSignature
from .sealedentries import (
    SEALED,
    Place,
    Records,
    open_entries,
    seal_entries,
    sealed_length,
)
from .shard import shard_length

MAGIC: Final = b"MFLTJRNL"
NO_ID: Final = bytes(32)
DIGEST_SIZE: Final = 32
"""Bytes at a record's end: the BLAKE3 of those before."""
NOWHERE: Final = BackendId(bytes(16))
"""In a pack's locations: this shard is not stored."""

_HEAD: Final = struct.Struct("<8sHxxIII16s16sQ32sqII")
_ENTRY: Final = struct.Struct("<BxxxI")
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


@dataclass(frozen=True, slots=True)
class Record:
    """One journal record. `digest` is the BLAKE3 at its end, named by the next record."""

    store: StoreId
    writer: WriterId
    seq: int
    previous: bytes
    time_ns: int
    entries: tuple[JournalEntry, ...]
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class RecordHead:
    """What a record says of itself: `entries` counts them, `length` is their bytes."""

    store: StoreId
    writer: WriterId
    seq: int
    previous: bytes
    time_ns: int
    entries: int
    length: int


def encode_record(record: Record, cipher: Records | None = None) -> bytes:
    """The record's bytes, its BLAKE3 last; `record.digest` is not looked at.

    With a `cipher` what tells of the store's contents is encrypted, packs and refs, and what nobody
    else may say, tombstones. The same record gives the same bytes whenever it is encoded.
    """
    return encode_listed(record, record.entries, cipher)


def encode_listed(
    record: Record, entries: Sequence[ListedEntry], cipher: Records | None = None
) -> bytes:
    """The same with these entries in place of its own, whose chunk tables may be bytes."""
    encrypted = cipher is not None and cipher.encrypted
    frames = [_frame(entry) for entry in entries]
    flags = _record_flags(entries, encrypted=encrypted)
    head = _HEAD.pack(
        MAGIC,
        VERSION,
        0,
        0,
        flags,
        record.store,
        record.writer,
        record.seq,
        record.previous,
        record.time_ns,
        len(frames),
        sum(_ENTRY.size + sealed_length(frame, cipher) for frame in frames),
    )
    if cipher is not None:
        frames = list(seal_entries(frames, Place(head), cipher))
    body = b"".join(_ENTRY.pack(type_, len(data)) + data for type_, data in frames)
    return head + body + blake3(head + body).digest()


def is_sound(data: bytes) -> bool:
    """Whether the bytes end in the BLAKE3 of those before."""
    return blake3(memoryview(data)[:-32]).digest() == data[-32:]


def says_segment(data: bytes) -> bool:
    """Whether the flags of a sound record say that it is a segment."""
    incompat: int = _HEAD.unpack_from(data)[4]
    return bool(incompat & SEGMENT)


def decode_head(data: bytes, what: str) -> RecordHead:
    """What a record says of itself, its entries unread; FormatError as from `decode_record`."""
    if len(data) < _HEAD.size + 32 or data[:8] != MAGIC:
        raise FormatError(f"{what} is no journal record")
    _, version, _, _, incompat, store, writer, *rest = _HEAD.unpack_from(data)
    check_readable(what, version, incompat, known=KNOWN)
    head = RecordHead(StoreId(store), WriterId(writer), *rest)
    if _HEAD.size + head.length + 32 != len(data):
        raise FormatError(f"{what} is damaged")
    return head


def is_vouched_for(data: bytes) -> bool:
    """Whether a sound record of an encrypted store has an entry that only its key can have made;
    such a one vouches for the record's head."""
    try:
        frames = list(_split(data, decode_head(data, "").entries))
    except (struct.error, ValueError):
        return False
    return any(type_ == SEALED for type_, _ in frames)


def is_genuine(data: bytes, cipher: Records) -> bool:
    """Whether every entry of a sound record may stand in a store so encrypted. KeyNeededError where
    that cannot be told without the key."""
    try:
        for _ in _opened(data, decode_head(data, ""), cipher):
            pass
    except (struct.error, ValueError):
        return False
    return True


def decode_record(data: bytes, what: str, cipher: Records | None = None) -> Record:
    """A record from its bytes; FormatError, naming `what`, when it is damaged or newer.

    Without a `cipher` that of a store which is not encrypted. KeyNeededError where an entry is
    encrypted and the key is not there.
    """
    head = decode_head(data, what)
    if not is_sound(data):
        raise FormatError(f"{what} is damaged")
    try:
        overhead = 0 if cipher is None else cipher.overhead
        entries = tuple(
            _decode_entry(type_, body, overhead) for type_, body in _opened(data, head, cipher)
        )
    except (struct.error, ValueError, ShardDamagedError) as error:
        raise FormatError(f"{what} contradicts itself") from error
    return Record(
        head.store, head.writer, head.seq, head.previous, head.time_ns, entries, data[-32:]
    )


def list_entries(data: bytes, what: str, cipher: Records | None = None) -> list[ListedEntry]:
    """The entries of a sound record, chunk tables unread; errors as from `decode_record`."""
    head = decode_head(data, what)
    try:
        return [
            list_pack(body) if type_ == 1 else _decode_entry(type_, body)
            for type_, body in _opened(data, head, cipher)
        ]
    except (struct.error, ValueError) as error:
        raise FormatError(f"{what} contradicts itself") from error


def is_segment(entries: Iterable[ListedEntry]) -> bool:
    """Whether a record of these entries is a segment: what it says then comes in order, and no
    other entry may stand among them."""
    return any(isinstance(entry, Compacted) for entry in entries)


def _frame(entry: ListedEntry) -> tuple[int, bytes]:
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


def _opened(data: bytes, head: RecordHead, cipher: Records | None) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each entry, in the clear; ValueError as from `open_entries`."""
    frames = _split(data, head.entries)
    if cipher is None:
        return frames
    return open_entries(frames, Place(data[: _HEAD.size]), cipher)


def _record_flags(entries: Iterable[ListedEntry], *, encrypted: bool) -> int:
    flags = ENCRYPTED if encrypted else 0
    for entry in entries:
        match entry:
            case RefChanged():
                flags |= 0 if entry.signature is None else SIGNED
            case Compacted():
                flags |= SEGMENT
            case PackStored() if not encrypted:
                flags |= codec_flags(chunk.codec for chunk in entry.chunks)
            case PackListed() if not encrypted:
                flags |= codec_flags(codecs_of_table(entry.table))
    return flags


def _split(data: bytes, count: int) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each entry of a record; ValueError unless they fill it."""
    at, end = _HEAD.size, len(data) - DIGEST_SIZE
    for _ in range(count):
        type_, length = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        yield type_, data[at : at + length]
        at += length
    if at != end:
        raise ValueError("entries do not fill the record")


def _decode_entry(type_: int, payload: bytes, overhead: int = 0) -> JournalEntry:
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
