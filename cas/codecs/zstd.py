"""Codec 1: one zstd frame (RFC 8878), with content size, without checksum and dictionary.

Level 1, as measured on one core in 1 MiB chunks: F32 weights of a sentence encoder shrink to 0.911
at 790 MB/s (level 3: 0.908 at 520), Python source to 0.241 at 460 MB/s (level 3: 0.222 at 330);
a chunk of random bytes is given up after 14 µs, while its BLAKE3 takes 140.
"""

import threading
from typing import Final

import zstandard

from ...errors import ChunkDamagedError
from .codec import Buffer, Codec
from .sample import is_promising

LEVEL: Final = 1
WINDOW_LIMIT: Final = 8 << 20
"""Most memory, in bytes, that a broken frame can make zstd reserve; whole frames need none."""


class _Contexts(threading.local):
    """One compressor and one decompressor a thread: neither may be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(
            level=LEVEL, write_checksum=False, write_content_size=True, write_dict_id=False
        )
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT)


_contexts: Final = _Contexts()


def encode(raw: memoryview) -> bytes | None:
    """One frame, or None where a sample of `raw` hardly shrinks."""
    compress = _contexts.compressor.compress
    return compress(raw) if is_promising(raw, compress) else None


def decode(encoded: Buffer, out: memoryview) -> None:
    """Decompress one frame straight into `out`; ChunkDamagedError unless it fills it exactly.

    A frame that claims another size is refused unread, and zstd cannot write past `out`. What
    follows the frame is not looked at: the chunk's BLAKE3 decides what the bytes are worth.
    """
    try:
        size = zstandard.frame_content_size(encoded)
        if size != len(out):
            raise _damaged(len(out), f"its frame claims {size} bytes")
        with _contexts.decompressor.stream_reader(encoded) as reader:
            filled = reader.readinto(out)
    except zstandard.ZstdError as error:
        raise _damaged(len(out), str(error)) from error
    if filled != len(out):
        raise _damaged(len(out), f"its frame ends after {filled}")


def _damaged(size: int, reason: str) -> ChunkDamagedError:
    return ChunkDamagedError(
        f"a zstd chunk of {size} bytes does not decode: {reason}; run `modelfloat verify --repair`"
    )


ZSTD: Final = Codec(1, "zstd", encode, decode)
