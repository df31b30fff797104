"""The map of a cached file: which of its chunks are there. `docs/format.md`, Cache.

A header, then pages of bits, each in two slots: a write goes to the older slot, so whatever
interrupts it the other one still stands. What does not verify counts as not written.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...errors import ChunkDamagedError
from .flags import VERSION, check_readable
from .manifest import Manifest, PageRef

MAGIC: Final = b"MFLTCMAP"
SLOT: Final = 4096
"""Bytes of the header and of each slot: what a disk writes at once, if it can at all."""
BODY: Final = 4064
"""Bytes of a slot that are a page's own."""
PAGE_BITS: Final = 8 * BODY
"""Chunks that one page tells of."""
MOST_CHUNKS: Final = 1 << 26
"""Of a file of 64 TB; a map that claims more claims memory."""
SEAL_PAGE: Final = 0
"""The page that holds the seal; those with bits follow."""

_HEAD: Final = struct.Struct("<8sHxxIIIQQ32s32s")
_SLOT: Final = struct.Struct("<QI4x4064s")
_SEAL: Final = struct.Struct("<QQqq")
_PAGE: Final = struct.Struct("<32sQIxxxx")
_CHECK: Final = 16


@dataclass(frozen=True, slots=True)
class MapHead:
    """Which file a map is of: `size` bytes in `chunks` chunks.

    `blake3` is that of the whole file, `cut` says where it is cut: chunks of one file that was
    added twice, and cut in two ways, have other numbers.
    """

    size: int
    chunks: int
    blake3: bytes
    cut: bytes

    @property
    def pages(self) -> int:
        """Pages of its map, that of the seal counted."""
        return 1 + -(-self.chunks // PAGE_BITS)

    @property
    def length(self) -> int:
        """Bytes of its map, when all of it is written."""
        return SLOT * (1 + 2 * self.pages)


@dataclass(frozen=True, slots=True)
class Slot:
    """One state of a page; of two the one with the higher sequence is the later."""

    page: int
    sequence: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Seal:
    """Said of a complete file once it was read back and every chunk of it verified.

    It holds for as long as the file is what it was then: by inode, size, and the times (ns) at
    which bytes of it, or anything about it, last changed.
    """

    inode: int
    size: int
    modified: int
    changed: int


def head_of(manifest: Manifest) -> MapHead:
    """The head of the map of a manifest's file."""
    cut = blake3(manifest.inline or _packed(manifest.pages)).digest()
    return MapHead(manifest.size, manifest.chunk_count, manifest.blake3, cut)


def _packed(pages: Sequence[PageRef]) -> bytes:
    return b"".join(_PAGE.pack(page.id, page.offset, page.count) for page in pages)


def encode_head(head: MapHead) -> bytes:
    """The first SLOT bytes of a map."""
    data = _HEAD.pack(MAGIC, VERSION, 0, 0, 0, head.size, head.chunks, head.blake3, head.cut)
    return (data + blake3(data).digest()).ljust(SLOT, b"\0")


def decode_head(data: bytes) -> MapHead:
    """The head of a map; ChunkDamagedError where it is none, FormatError for a newer one's."""
    if len(data) < SLOT or data[: len(MAGIC)] != MAGIC:
        raise ChunkDamagedError("a map of the disk cache is none; it is made anew")
    _, version, _, _, incompat, size, chunks, file, cut = _HEAD.unpack_from(data)
    if blake3(data[: _HEAD.size]).digest() != data[_HEAD.size : _HEAD.size + 32]:
        raise ChunkDamagedError("a map of the disk cache is damaged; it is made anew")
    check_readable("a map of the disk cache", version, incompat)
    if chunks > min(size, MOST_CHUNKS):
        raise ChunkDamagedError("a map of the disk cache claims too many chunks; it is made anew")
    return MapHead(size, chunks, file, cut)


def slot_offset(page: int, sequence: int) -> int:
    """Where a page's state of that sequence stands in a map, bytes."""
    return SLOT * (1 + 2 * page + sequence % 2)


def encode_slot(head: MapHead, slot: Slot) -> bytes:
    """SLOT bytes; they verify in the map of that file only."""
    data = _SLOT.pack(slot.sequence, slot.page, slot.body.ljust(BODY, b"\0"))
    return data + _check(head, data)


def decode_page(head: MapHead, page: int, data: bytes) -> Slot:
    """The latest state of a page, from its two slots; of sequence 0 and without bits if none."""
    found = [_decode_slot(head, page, data[at : at + SLOT]) for at in (0, SLOT)]
    return max(
        (s for s in found if s), key=lambda s: s.sequence, default=Slot(page, 0, bytes(BODY))
    )


def _decode_slot(head: MapHead, page: int, data: bytes) -> Slot | None:
    if len(data) < SLOT or data[-_CHECK:] != _check(head, data[:-_CHECK]):
        return None
    sequence, number, body = _SLOT.unpack_from(data)
    return Slot(page, sequence, body) if number == page and sequence else None


def _check(head: MapHead, data: bytes) -> bytes:
    return blake3(head.blake3 + head.cut + data).digest()[:_CHECK]


def encode_seal(seal: Seal | None) -> bytes:
    """The body of the seal's page; zeros where a file is not sealed."""
    if seal is None:
        return bytes(BODY)
    return _SEAL.pack(seal.inode, seal.size, seal.modified, seal.changed).ljust(BODY, b"\0")


def decode_seal(body: bytes) -> Seal | None:
    """The seal, if there is one; no file has inode 0."""
    seal = Seal(*_SEAL.unpack_from(body))
    return seal if seal.inode else None
