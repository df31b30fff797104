"""What a codec is."""

from collections.abc import Callable
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Codec:
    """A pure pair of functions, safe to call from any thread.

    `number` is one byte of the on-disk format and never changes. `encode` gives the encoded
    bytes, or None where it sees that they would not be worth it. `decode` fills `out`, whose
    length is the chunk's raw length, exactly, and writes nothing else; it raises ChunkDamagedError
    when the encoded bytes are anything but that, however they lie.
    """

    number: int
    name: str
    encode: Callable[[memoryview], Buffer | None]
    decode: Callable[[Buffer, memoryview], None]
