"""Manifests and their pages: a file's recipe. `docs/format.md`, Manifest."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ...errors import ChunkDamagedError
from ...ids import ChunkId, ObjectId
from .chunktable import MAX_CHUNK
from .objects import (
    ObjectType,
    decode_extensions,
    encode_extensions,
    expect,
    header,
    object_id,
)

ENTRY: Final = struct.Struct("<32sI")
INLINE_CHUNKS: Final = 256
"""Up to this many chunks stand in the manifest itself."""
PAGE_CHUNKS: Final = 14_000
"""Chunks a page; 14,000 entries of 36 bytes stay below 512 KiB."""
TAG_SHA256: Final = 1

_HEAD: Final = struct.Struct("<8xQ32sQII")
_PAGE: Final = struct.Struct("<32sQIxxxx")


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One chunk of a file: its id and raw length in bytes."""

    id: ChunkId
    raw: int


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page of a manifest: where its first chunk begins in the file, and how many it names."""

    id: ObjectId
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file's recipe. Either `inline` holds the packed entries, or `pages` names them."""

    size: int
    blake3: bytes
    chunk_count: int
    inline: bytes = b""
    pages: tuple[PageRef, ...] = ()
    extensions: dict[int, bytes] = field(default_factory=dict)

    @property
    def sha256(self) -> bytes | None:
        """SHA-256 of the whole file, where it was computed."""
        return self.extensions.get(TAG_SHA256)


def encode_manifest(
    size: int, digest: bytes, entries: bytes, extensions: dict[int, bytes] | None = None
) -> list[bytes]:
    """The objects of a manifest, pages first and the manifest last.

    `entries` are the packed chunk entries (36 bytes each) of the whole file, `digest` is its
    BLAKE3, `size` its length in bytes.
    """
    count = len(entries) // ENTRY.size
    extra = encode_extensions(extensions or {})
    pages: list[bytes] = []
    body = entries
    if count > INLINE_CHUNKS:
        pages, body = _encode_pages(entries)
    head = header(ObjectType.MANIFEST) + _HEAD.pack(size, digest, count, len(pages), len(extra))[8:]
    return [*pages, head + body + extra]


def _encode_pages(entries: bytes) -> tuple[list[bytes], bytes]:
    pages, refs, offset = [], [], 0
    step = PAGE_CHUNKS * ENTRY.size
    for at in range(0, len(entries), step):
        part = entries[at : at + step]
        page = header(ObjectType.MANIFEST_PAGE) + part
        pages.append(page)
        refs.append(_PAGE.pack(object_id(page), offset, len(part) // ENTRY.size))
        offset += sum(raw for _, raw in ENTRY.iter_unpack(part))
    return pages, b"".join(refs)


def decode_manifest(data: bytes) -> Manifest:
    """A manifest from its bytes; ChunkDamagedError when it contradicts itself."""
    expect(data, ObjectType.MANIFEST, _HEAD.size)
    size, digest, count, page_count, extra = _HEAD.unpack_from(data)
    body_size = page_count * _PAGE.size if page_count else count * ENTRY.size
    if _HEAD.size + body_size + extra != len(data):
        raise ChunkDamagedError("a manifest has another length than it says")
    body = data[_HEAD.size : _HEAD.size + body_size]
    extensions = decode_extensions(data[len(data) - extra :]) if extra else {}
    if not page_count:
        if sum(ref.raw for ref in decode_entries(body)) != size:
            raise ChunkDamagedError("a manifest's chunks do not add up to its file's size")
        return Manifest(size, digest, count, inline=body, extensions=extensions)
    pages = tuple(PageRef(ObjectId(i), at, n) for i, at, n in _PAGE.iter_unpack(body))
    if sum(p.count for p in pages) != count or pages[0].offset != 0:
        raise ChunkDamagedError("a manifest's pages do not add up")
    return Manifest(size, digest, count, pages=pages, extensions=extensions)


def decode_page(data: bytes) -> bytes:
    """The packed chunk entries of a manifest page."""
    expect(data, ObjectType.MANIFEST_PAGE, 8)
    if (len(data) - 8) % ENTRY.size:
        raise ChunkDamagedError("a manifest page is no whole number of entries")
    return data[8:]


def encode_entries(refs: Sequence[ChunkRef]) -> bytes:
    """Packed chunk entries."""
    return b"".join(ENTRY.pack(ref.id, ref.raw) for ref in refs)


def decode_entries(data: bytes) -> list[ChunkRef]:
    """Chunk entries from their packed form; ChunkDamagedError for impossible lengths."""
    refs = [ChunkRef(ChunkId(id_), raw) for id_, raw in ENTRY.iter_unpack(data)]
    if any(not 0 < ref.raw <= MAX_CHUNK for ref in refs):
        raise ChunkDamagedError("a manifest names a chunk of an impossible length")
    return refs
