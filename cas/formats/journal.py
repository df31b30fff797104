"""Journal records: what happened to a store, per writer, in order. `docs/format.md`, Journal.

What a record says, its entries, is `journalentries`'; their names are had from here too.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...errors import FormatError, ShardDamagedError
from ...ids import StoreId, WriterId
from .chunktable import codecs_of_table
from .flags import ENCRYPTED, SEGMENT, SIGNED, VERSION, check_readable, codec_flags
from .flags import KNOWN_OF_RECORDS as KNOWN
from .journalentries import (
    NO_ID,
    NOWHERE,
    Compacted,
    JournalEntry,
    ListedEntry,
    PackDeleted,
    PackListed,
    PackStored,
    RefChanged,
    RefKind,
    ShardPlaced,
    decode_entry,
    decode_ref,
    encode_ref,
    encode_unsigned,
    frame,
    list_pack,
    listed_pack,
    stored_pack,
    type_and_length,
)
from .sealedentries import (
    SEALED,
    Place,
    Records,
    open_entries,
    seal_entries,
    sealed_length,
)

__all__ = [
    "DIGEST_SIZE",
    "KNOWN",
    "LONGEST",
    "MAGIC",
    "NOWHERE",
    "NO_ID",
    "Compacted",
    "JournalEntry",
    "ListedEntry",
    "PackDeleted",
    "PackListed",
    "PackStored",
    "Record",
    "RecordHead",
    "RefChanged",
    "RefKind",
    "ShardPlaced",
    "decode_head",
    "decode_record",
    "decode_ref",
    "encode_listed",
    "encode_record",
    "encode_ref",
    "encode_unsigned",
    "is_genuine",
    "is_segment",
    "is_sound",
    "is_vouched_for",
    "list_entries",
    "list_pack",
    "listed_pack",
    "record_length",
    "says_segment",
    "stored_pack",
]

MAGIC: Final = b"MFLTJRNL"
DIGEST_SIZE: Final = 32
"""Bytes at a record's end: the BLAKE3 of those before."""
LONGEST: Final = 16 << 20
"""Bytes of the longest record; the longest that are made, segments, have about 12 MiB."""

_HEAD: Final = struct.Struct("<8sHxxIII16s16sQ32sqII")
_ENTRY: Final = struct.Struct("<BxxxI")


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
    frames = [frame(entry) for entry in entries]
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
        sum(_ENTRY.size + sealed_length(type_, len(data), cipher) for type_, data in frames),
    )
    if cipher is not None:
        frames = list(seal_entries(frames, Place(head), cipher))
    body = b"".join(_ENTRY.pack(type_, len(data)) + data for type_, data in frames)
    return head + body + blake3(head + body).digest()


def record_length(entries: Iterable[ListedEntry], cipher: Records | None = None) -> int:
    """Bytes of a record of these entries."""
    told = (type_and_length(entry) for entry in entries)
    length = sum(_ENTRY.size + sealed_length(*entry, cipher) for entry in told)
    return _HEAD.size + length + DIGEST_SIZE


def is_sound(data: bytes) -> bool:
    """Whether the bytes end in the BLAKE3 of those before, and are not too many."""
    return len(data) <= LONGEST and blake3(memoryview(data)[:-32]).digest() == data[-32:]


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
            decode_entry(type_, body, overhead) for type_, body in _opened(data, head, cipher)
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
            list_pack(body) if type_ == 1 else decode_entry(type_, body)
            for type_, body in _opened(data, head, cipher)
        ]
    except (struct.error, ValueError) as error:
        raise FormatError(f"{what} contradicts itself") from error


def is_segment(entries: Iterable[ListedEntry]) -> bool:
    """Whether a record of these entries is a segment: what it says then comes in order, and no
    other entry may stand among them."""
    return any(isinstance(entry, Compacted) for entry in entries)


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
