"""Deterministic values of every format, for golden files and unit tests."""

from dataclasses import replace

from blake3 import blake3

from modelfloat.cas.formats.cachemap import PAGE_BITS, MapHead, Seal
from modelfloat.cas.formats.chunktable import Kind, PackedChunk
from modelfloat.cas.formats.commit import Commit
from modelfloat.cas.formats.condemned import Condemned
from modelfloat.cas.formats.journal import (
    NO_ID,
    NOWHERE,
    Compacted,
    PackDeleted,
    PackStored,
    Record,
    RefChanged,
    RefKind,
    ShardPlaced,
)
from modelfloat.cas.formats.news import News
from modelfloat.cas.formats.presence import NOBODY, Presence, PresenceRecord
from modelfloat.cas.formats.shard import PackInfo, hash_blocks, shard_length
from modelfloat.cas.formats.tree import Entry, EntryType
from modelfloat.erasure.codec import encode
from modelfloat.erasure.scheme import Scheme
from modelfloat.ids import BackendId, ChunkId, ObjectId, PackId, SiteId, StoreId, WriterId

STORE = StoreId(bytes(range(16)))
PACK = PackId(bytes(range(16, 32)))
WRITER = WriterId(bytes(range(32, 48)))
TIME = 1_700_000_000_123_456_789


def noise(label: str, size: int) -> bytes:
    """`size` bytes that are the same everywhere and for ever: BLAKE3 of a label, extended."""
    return blake3(label.encode()).digest(length=size)


def id_of(label: str) -> ObjectId:
    """A 32-byte id made from a label."""
    return ObjectId(noise(label, 32))


def chunks() -> tuple[PackedChunk, ...]:
    """Twelve chunks end to end, some encoded: too many for all footers to carry the table."""
    sizes = [(9_000, 9_000, 0), (5_000, 9_000, 1), (13_333, 13_333, 0)] * 4
    made, at = [], 0
    for number, (stored, raw, codec) in enumerate(sizes):
        id_ = ChunkId(id_of(f"chunk {number}"))
        made.append(PackedChunk(id_, at, stored, raw, codec, Kind.DATA, 13))
        at += stored
    return tuple(made)


def with_later_codecs() -> tuple[PackedChunk, ...]:
    """The same chunks, the encoded ones by codecs that the first releases did not know."""
    return tuple(
        replace(chunk, codec=number + 1) if chunk.codec else chunk
        for number, chunk in enumerate(chunks())
    )


def shards(
    k: int = 4, m: int = 2, table: tuple[PackedChunk, ...] | None = None
) -> tuple[PackInfo, list[bytes]]:
    """A small pack of k+m shards: what its footers say, and the payloads."""
    table = table or chunks()
    length = sum(chunk.stored for chunk in table)
    size = shard_length(length, k)
    data = bytearray(noise("pack", length) + bytes(k * size - length))
    payloads = [bytes(data[i * size : (i + 1) * size]) for i in range(k)]
    parity = [bytearray(size) for _ in range(m)]
    encode(Scheme(k, m), payloads, parity)
    payloads += [bytes(p) for p in parity]
    blocks = tuple(hash_blocks(memoryview(p)) for p in payloads)
    return PackInfo(STORE, PACK, k, m, Kind.DATA, length, size, blocks, table), payloads


def entries() -> list[Entry]:
    """A file, a folder, a link, and a name that is not UTF-8, sorted."""
    return [
        Entry(b"README.md", EntryType.FILE, 0o644, TIME, 12, id_of("manifest")),
        Entry("gewichte-größe".encode(), EntryType.DIRECTORY, 0o755, TIME, 99, id_of("tree")),
        Entry(b"latest", EntryType.SYMLINK, 0o777, TIME, 9, b"README.md"),
        Entry(b"\xff\xfe", EntryType.FILE, 0o600, -5, 0, id_of("empty")),
    ]


def commit() -> Commit:
    """A commit with two parents."""
    parents = (id_of("parent 0"), id_of("parent 1"))
    return Commit(id_of("tree"), parents, TIME, -330, "Ada <ada@example.org>", "Grüße\n\nzwei")


def condemned() -> Condemned:
    """A pack of 2+1 that is to be deleted, one shard of which was never stored."""
    places = (BackendId(bytes([1]) * 16), NOWHERE, BackendId(bytes([3]) * 16))
    return Condemned(STORE, PACK, 2, 1, places)


def presence() -> dict[str, PresenceRecord]:
    """A lease that is held, one that was given back, a session, a site, a mount."""
    site, owner = SiteId(bytes([0x51]) * 16), bytes([0x0E]) * 16
    lease = PresenceRecord(Presence.LEASE, STORE, site, owner, 7, 90)
    return {
        "lease": lease,
        "lease-back": replace(lease, held=False),
        "session": PresenceRecord(Presence.SESSION, STORE, site, bytes(WRITER), 6, 300),
        "site": PresenceRecord(Presence.SITE, STORE, site, NOBODY, 0, 0, held=False),
        "mount": PresenceRecord(
            Presence.MOUNT, STORE, site, owner, 3, 600, open=(id_of("one"), id_of("two"))
        ),
    }


def news() -> News:
    """What a site of two writers tells."""
    return News(STORE, SiteId(bytes([0x51]) * 16), {WRITER: 7, WriterId(bytes([2]) * 16): 1 << 40})


def record() -> Record:
    """A journal record with an entry of every type."""
    places = tuple(BackendId(bytes([i]) * 16) for i in range(1, 6))
    info, _ = shards()
    return Record(
        STORE,
        WRITER,
        7,
        bytes(id_of("previous")),
        TIME,
        (
            PackStored(
                PACK, 4, 2, Kind.DATA, info.length, info.shard, (*places, NOWHERE), chunks()
            ),
            RefChanged(
                RefKind.BRANCH,
                "acme",
                "größe",
                "main",
                NO_ID,
                ObjectId(NO_ID),
                id_of("commit"),
                TIME,
            ),
            RefChanged(
                RefKind.TAG, "acme", "llama", "v1", bytes(id_of("c")), id_of("old"), id_of("new"), 0
            ),
            ShardPlaced(PACK, 5, places[0]),
            PackDeleted(PACK),
        ),
    )


def segment() -> Record:
    """A record that stands for two others, of one of which nothing is left to be told."""
    pack, change, *_ = record().entries
    first = Compacted(WRITER, 1, TIME, bytes(id_of("first")))
    other = Compacted(WriterId(b"o" * 16), 258, TIME + 1, bytes(id_of("other")))
    return replace(record(), entries=(first, other, pack, change, PackDeleted(PACK)))


def cache_head() -> MapHead:
    """A file in the disk cache whose map has two pages of bits."""
    return MapHead(
        PAGE_BITS * 1000 + 2500, PAGE_BITS + 3, bytes(id_of("file")), bytes(id_of("cut"))
    )


def seal() -> Seal:
    """The seal of its data file."""
    return Seal(123_456, cache_head().size, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002)
