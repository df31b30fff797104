"""What a codec is, and the half of it that reads."""

from collections.abc import Callable
from dataclasses import dataclass

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Decoder:
    """What chunks of one codec are read by; pure, safe to call from any thread.

    `number` is one byte of the on-disk format and never changes. `decode` fills `out`, whose
    length is the chunk's raw length, exactly, and writes nothing else; it raises ChunkDamagedError
    when the encoded bytes are anything but that, however they lie.
    """

    number: int
    name: str
    decode: Callable[[Buffer, memoryview], None]


@dataclass(frozen=True, slots=True)
class Codec(Decoder):
    """A decoder and one way to make what it reads.

    `encode` gives the encoded bytes, or None where it sees that they would not be worth it.
    """

    encode: Callable[[memoryview], Buffer | None]
