"""What names a chunk: the BLAKE3 of its raw bytes, in an encrypted store keyed.

Who does not have the key cannot tell from an id whether the store has a certain file.
`docs/format.md`, Chunks and codecs, and Encryption.
"""

from typing import Final

from blake3 import blake3

from ...errors import KEY_NEEDED, KeyNeededError
from ...ids import ChunkId, ObjectId


class ChunkIds:
    """Names chunks and objects; lets go of the GIL for all but short ones."""

    __slots__ = ("_key", "locked")

    def __init__(self, key: bytes | None = None, *, locked: bool = False) -> None:
        self._key = key
        self.locked = locked
        """Whether ids cannot be told: the store is encrypted, and its key is not there."""

    def of(self, data: bytes | bytearray | memoryview) -> ChunkId:
        """The id of a chunk of these raw bytes; KeyNeededError without a key that it takes."""
        if self._key is None:
            if self.locked:
                raise KeyNeededError(KEY_NEEDED)
            return ChunkId(blake3(data).digest())
        return ChunkId(blake3(data, key=self._key).digest())

    def object(self, data: bytes) -> ObjectId:
        """The id of an object of these bytes."""
        return ObjectId(self.of(data))

    def fits(self, id_: bytes, data: bytes) -> bool:
        """Whether an object of the index's mirror has that id. Without the key of an encrypted
        store it is believed: it lies in the store's own folder."""
        return self.locked or self.object(data) == id_

    @property
    def keyed(self) -> bool:
        """Whether a chunk's id is another than the BLAKE3 that anybody computes."""
        return self._key is not None or self.locked


PLAIN: Final = ChunkIds()
"""Of stores that are not encrypted."""
