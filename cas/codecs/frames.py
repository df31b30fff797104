"""Decoding zstd frames (RFC 8878) that somebody may have tampered with."""

import threading
from typing import Final

import zstandard

from ...errors import ChunkDamagedError
from .codec import Buffer

WINDOW_LIMIT: Final = 8 << 20
"""Most memory, in bytes, that a broken frame can make zstd reserve; whole frames need none."""

_CHECKSUM_FLAG: Final = 4
_RLE_BLOCK: Final = 1


class _Contexts(threading.local):
    """One decompressor a thread: it may not be shared."""

    def __init__(self) -> None:
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_LIMIT)


_contexts: Final = _Contexts()


def decode_frame(encoded: Buffer, out: memoryview) -> None:
    """Decompress one frame straight into `out`; ChunkDamagedError unless it fills it exactly.

    A frame that claims another size is refused unread, so is one with bytes behind it, and zstd
    cannot write past `out`. It lets go of the GIL.
    """
    try:
        size = zstandard.frame_content_size(encoded)
        if size != len(out):
            raise damaged("zstd frame", len(out), f"it claims {size}")
        length = frame_length(encoded)
        if length != len(encoded):
            raise damaged("zstd frame", len(out), f"it has {len(encoded)} bytes, not {length}")
        with _contexts.decompressor.stream_reader(encoded) as reader:
            filled = reader.readinto(out)
    except zstandard.ZstdError as error:
        raise damaged("zstd frame", len(out), str(error)) from error
    if filled != len(out):
        raise damaged("zstd frame", len(out), f"it ends after {filled}")


def frame_length(encoded: Buffer) -> int:
    """Bytes from the start of a frame to its end, as its block headers tell (RFC 8878, 3.1.1.2).

    More than there are where the frame is cut short. ZstdError where it has no header.
    """
    at = zstandard.frame_header_size(encoded)
    last = False
    while not last and at < len(encoded):
        header = int.from_bytes(encoded[at : at + 3], "little")
        last, size = bool(header & 1), header >> 3
        at += 3 + (1 if header >> 1 & 3 == _RLE_BLOCK else size)
    if not last:
        return len(encoded) + 1
    return at + 4 * bool(encoded[4] & _CHECKSUM_FLAG)


def damaged(what: str, size: int, reason: str) -> ChunkDamagedError:
    """The error for encoded bytes that are not `size` bytes of anything."""
    return ChunkDamagedError(
        f"a {what} of {size} bytes does not decode: {reason}; run `modelfloat verify --repair`"
    )
