"""Manifests and their pages: a file's recipe. `docs/format.md`, Manifest."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ...errors import ChunkDamagedError
from ...ids import ChunkId, ObjectId
from .chunkids import PLAIN, ChunkIds
from .chunktable import MAX_CHUNK
from .objects import (
    HEADER,
    VERSION,
    ObjectType,
    decode_extensions,
    encode_extensions,
    expect,
    extension_offset,
    header,
    object_version,
)
from .regiontable import INLINE_TABLE, RegionLike, TablePart, encode_region_page, encode_regions
from .sourceurls import TAG_SOURCES, decode_sources, encode_sources

ENTRY: Final = struct.Struct("<32sI")
INLINE_CHUNKS: Final = 256
"""Up to this many chunks stand in the manifest itself."""
PAGE_CHUNKS: Final = 14_000
"""Chunks a page; 14,000 entries of 36 bytes stay below 512 KiB."""
TAG_SHA256: Final = 1
TAG_REGIONS: Final = 2
"""The region table; of a manifest of version 2 the table of its region pages."""
VERSION_PAGED_REGIONS: Final = 2

_HEAD: Final = struct.Struct("<8xQ32sQII")
_PAGE: Final = struct.Struct("<32sQIxxxx")


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """One chunk of a file: its id and raw length in bytes."""

    id: ChunkId
    raw: int


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page of a manifest: where its first chunk (or region) begins in the file, and how many it
    names."""

    id: ObjectId
    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A file's recipe. Either `inline` holds the packed entries, or `pages` names them.

    Its region table, if it has one, is `regions`, or lies in `region_pages`.
    """

    size: int
    blake3: bytes
    chunk_count: int
    inline: bytes = b""
    pages: tuple[PageRef, ...] = ()
    extensions: dict[int, bytes] = field(default_factory=dict)
    region_pages: tuple[PageRef, ...] = ()

    @property
    def sha256(self) -> bytes | None:
        """SHA-256 of the whole file, where it was computed."""
        return self.extensions.get(TAG_SHA256)

    @property
    def sources(self) -> tuple[str, ...]:
        """URLs of files with the same bytes, where some are known."""
        return decode_sources(self.extensions.get(TAG_SOURCES, b""))

    @property
    def regions(self) -> bytes:
        """The region table that stands in the manifest itself; empty where none does."""
        return b"" if self.region_pages else self.extensions.get(TAG_REGIONS, b"")

    @property
    def objects(self) -> tuple[ObjectId, ...]:
        """All objects that it names."""
        return tuple(page.id for page in (*self.pages, *self.region_pages))


def encode_manifest(
    size: int,
    digest: bytes,
    entries: bytes,
    extensions: dict[int, bytes] | None = None,
    regions: Iterable[RegionLike] = (),
    ids: ChunkIds = PLAIN,
) -> list[bytes]:
    """The objects of a manifest, pages first and the manifest last.

    `entries` are the packed chunk entries (36 bytes each) of the whole file, `digest` is its
    BLAKE3, `size` its length in bytes, `regions` cover it or are none. `ids`
    names the store's objects.
    """
    count = len(entries) // ENTRY.size
    table, region_pages = _encode_table(encode_regions(regions, size), ids)
    extra = encode_extensions({**(extensions or {}), **table})
    pages: list[bytes] = []
    body = entries
    if count > INLINE_CHUNKS:
        pages, body = _encode_pages(entries, ids)
    version = VERSION_PAGED_REGIONS if region_pages else VERSION
    head = _HEAD.pack(size, digest, count, len(pages), len(extra))[HEADER.size :]
    manifest = header(ObjectType.MANIFEST, version) + head + body + extra
    return [*pages, *region_pages, manifest]


def _encode_table(parts: list[TablePart], ids: ChunkIds) -> tuple[dict[int, bytes], list[bytes]]:
    """The manifest's extension, and the region pages that it names."""
    if not parts:
        return {}, []
    if len(parts) == 1 and len(parts[0].data) <= INLINE_TABLE:
        return {TAG_REGIONS: parts[0].data}, []
    pages = [encode_region_page(part) for part in parts]
    refs = [
        _PAGE.pack(ids.object(page), part.offset, part.count)
        for page, part in zip(pages, parts, strict=True)
    ]
    return {TAG_REGIONS: b"".join(refs)}, pages


def _encode_pages(entries: bytes, ids: ChunkIds) -> tuple[list[bytes], bytes]:
    pages, refs, offset = [], [], 0
    step = PAGE_CHUNKS * ENTRY.size
    for at in range(0, len(entries), step):
        part = entries[at : at + step]
        page = header(ObjectType.MANIFEST_PAGE) + part
        pages.append(page)
        refs.append(_PAGE.pack(ids.object(page), offset, len(part) // ENTRY.size))
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
    of_regions: tuple[PageRef, ...] = ()
    if object_version(data) == VERSION_PAGED_REGIONS:
        of_regions = _decode_table(extensions.get(TAG_REGIONS, b""), size)
    if not page_count:
        if sum(ref.raw for ref in decode_entries(body)) != size:
            raise ChunkDamagedError("a manifest's chunks do not add up to its file's size")
        return Manifest(size, digest, count, body, (), extensions, of_regions)
    pages = tuple(PageRef(ObjectId(i), at, n) for i, at, n in _PAGE.iter_unpack(body))
    if sum(p.count for p in pages) != count or pages[0].offset != 0:
        raise ChunkDamagedError("a manifest's pages do not add up")
    return Manifest(size, digest, count, b"", pages, extensions, of_regions)


def _decode_table(data: bytes, size: int) -> tuple[PageRef, ...]:
    if not data or len(data) % _PAGE.size:
        raise ChunkDamagedError("a manifest names no region pages where it must")
    pages = tuple(PageRef(ObjectId(i), at, n) for i, at, n in _PAGE.iter_unpack(data))
    starts = [page.offset for page in pages]
    ascending = all(a < b for a, b in pairwise([*starts, size]))
    if starts[0] != 0 or not ascending or not all(page.count for page in pages):
        raise ChunkDamagedError("a manifest's region pages do not add up")
    return pages


def id_offsets(data: bytes) -> Iterator[int]:
    """Where in a manifest's bytes the ids of chunks, pages and region pages stand.

    ChunkDamagedError when it contradicts itself.
    """
    manifest = decode_manifest(data)
    step = _PAGE.size if manifest.pages else ENTRY.size
    body = step * (len(manifest.pages) or manifest.chunk_count)
    yield from range(_HEAD.size, _HEAD.size + body, step)
    if not manifest.region_pages:
        return
    at = _HEAD.size + body + extension_offset(data[_HEAD.size + body :], TAG_REGIONS)
    yield from (at + _PAGE.size * number for number in range(len(manifest.region_pages)))


def with_sources(data: bytes, urls: Sequence[str]) -> bytes:
    """The manifest `data` with other sources; its pages are the same."""
    size, digest, count, page_count, extra = _HEAD.unpack_from(data)
    body, extensions = data[: len(data) - extra], decode_extensions(data[len(data) - extra :])
    new = encode_extensions({**extensions, TAG_SOURCES: encode_sources(urls)})
    head = _HEAD.pack(size, digest, count, page_count, len(new))[HEADER.size :]
    return data[: HEADER.size] + head + body[_HEAD.size :] + new


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
