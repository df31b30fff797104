"""Chunks out of the bytes of an extent: decrypted, decoded, and held against their ids.

A raw chunk is not copied: it is a slice of the buffer that the extent was read into.
"""

from typing import TYPE_CHECKING

from ...errors import ChunkDamagedError
from ...ids import ChunkId
from ..buffers import SizedBuffers
from ..codecs.raw import RAW
from ..codecs.registry import decode
from ..encryption.storecipher import StoreCipher
from ..formats.chunktable import TAG_SIZE
from ..index.records import Location
from .cache import Loaded
from .extents import Placed

if TYPE_CHECKING:
    from ..encryption.packcipher import PackCipher


class Unpacker:
    """Decodes and verifies, into memory of `buffers`, in the calling thread, which may be any."""

    def __init__(self, cipher: StoreCipher, buffers: SizedBuffers) -> None:
        self._cipher = cipher
        self._buffers = buffers

    def unpack(
        self, extent: list[Placed], encoded: memoryview, lent: bool
    ) -> tuple[dict[ChunkId, Loaded], list[Placed]]:
        """The chunks that verify, and those that do not; of `lent` memory nothing is kept."""
        ids, cipher = self._cipher.ids, self._cipher.pack(extent[0].pack.id)
        if lent and (cipher or any(chunk.place.codec == RAW.number for chunk in extent)):
            copy = self._buffers.take(len(encoded))
            copy[:] = encoded
            encoded = copy
        target = None
        if any(chunk.place.codec != RAW.number for chunk in extent):
            target = self._buffers.take(sum(chunk.place.raw for chunk in extent))
        found: dict[ChunkId, Loaded] = {}
        bad: list[Placed] = []
        first, at = extent[0].place.offset, 0
        for chunk in extent:
            place = chunk.place
            loaded = Loaded(encoded, place.offset - first, place.stored - self._cipher.overhead)
            if cipher is not None and not _opens(cipher, place, encoded, first):
                bad.append(chunk)
                at += place.raw if place.codec != RAW.number else 0
                continue
            if place.codec != RAW.number and target is not None:
                decoded = Loaded(target, at, place.raw)
                at += place.raw
                loaded = decoded if _decodes(place.codec, loaded.data, decoded.data) else loaded
            # Damage shows here as a wrong hash, for every codec alike.
            if ids.of(loaded.data) == chunk.id:
                found[chunk.id] = loaded
            else:
                bad.append(chunk)
        return found, bad


def _opens(cipher: "PackCipher", place: Location, encoded: memoryview, first: int) -> bool:
    """Decrypt a chunk where it lies, in bytes of its pack from offset `first` on."""
    at = place.offset - first
    stored = encoded[at : at + place.stored]
    try:
        cipher.open(place.slot, stored, stored[:-TAG_SIZE])
    except ChunkDamagedError:
        return False
    return True


def _decodes(codec: int, encoded: memoryview, out: memoryview) -> bool:
    try:
        decode(codec, encoded, out)
    except ChunkDamagedError:
        return False
    return True
