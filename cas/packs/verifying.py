"""Chunks of one pack from their stored bytes: decrypted, decoded, held against their ids.

CPU work, for worker threads.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import KEY_NEEDED, KeyNeededError, ModelFloatError
from ...ids import PackId
from ..codecs.registry import decode
from ..encryption.storecipher import StoreCipher
from ..formats.chunkids import ChunkIds
from ..formats.chunktable import TAG_SIZE, PackedChunk

if TYPE_CHECKING:
    from ..encryption.packcipher import PackCipher


@dataclass(frozen=True, slots=True)
class ChunkOpener:
    """Opens what is stored of one pack; `cipher` is None where it is not encrypted, or cannot be
    decrypted."""

    ids: ChunkIds
    cipher: "PackCipher | None"

    @classmethod
    def of(cls, cipher: StoreCipher, pack: PackId) -> "ChunkOpener":
        """That of a pack; it opens nothing where the store's key is not there."""
        return cls(cipher.ids, None if cipher.locked else cipher.pack(pack))

    def encoded(self, slot: int, stored: memoryview) -> memoryview:
        """A chunk as its codec made it, in other memory where it was encrypted; ChunkDamagedError
        where it is not what was encrypted there."""
        if self.ids.locked:
            raise KeyNeededError(KEY_NEEDED)
        if self.cipher is None:
            return stored
        out = memoryview(bytearray(len(stored) - TAG_SIZE))
        self.cipher.open(slot, stored, out)
        return out

    def raw(self, chunk: PackedChunk, encoded: memoryview) -> memoryview | None:
        """What a chunk holds; None where it does not decode to its id."""
        data = encoded
        if chunk.codec:
            data = memoryview(bytearray(chunk.raw))
            try:
                decode(chunk.codec, encoded, data)
            except ModelFloatError:
                return None
        return data if self.ids.of(data) == chunk.id else None

    def verifies(self, chunk: PackedChunk, slot: int, stored: memoryview) -> bool:
        """Whether what is stored of a chunk opens to its id."""
        try:
            return self.raw(chunk, self.encoded(slot, stored)) is not None
        except ModelFloatError:
            return False
