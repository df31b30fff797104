"""Codec 1: one zstd frame (RFC 8878), with content size, without checksum and dictionary.

Level 1, as measured on one core in 1 MiB chunks: F32 weights of a sentence encoder shrink to 0.911
at 790 MB/s (level 3: 0.908 at 520), Python source to 0.241 at 460 MB/s (level 3: 0.222 at 330);
a chunk of random bytes is given up after 14 µs, while its BLAKE3 takes 140.
"""

import threading
from functools import partial
from typing import Final

import zstandard

from .codec import Codec
from .frames import decode_frame
from .sample import is_promising

LEVEL: Final = 1
MATCHES_LEVEL: Final = 3
"""For numbers that come again: the basis of a Fourier transform, whose rows mirror each other,
shrinks to 0.441, and to 0.797 at level 1. For text it gains too little."""
SMALL_LEVEL: Final = 12
"""At effort `small`: Python source to 0.214, a model's vocabulary to 0.271 instead of 0.313, at a
twentieth of the speed; levels above take much longer for little. A thread that has used it keeps
12 MiB for it, at level 3 it is 2.5 MiB and at level 1 1.3."""


class _Contexts(threading.local):
    """A compressor a level and thread, made where it is used: none may be shared."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}

    def compressor(self, level: int) -> zstandard.ZstdCompressor:
        if level not in self.compressors:
            self.compressors[level] = zstandard.ZstdCompressor(
                level=level, write_checksum=False, write_content_size=True, write_dict_id=False
            )
        return self.compressors[level]


_contexts: Final = _Contexts()


def encode(level: int, raw: memoryview) -> bytes | None:
    """One frame, or None where a sample of `raw` hardly shrinks at the usual level."""
    promising = is_promising(raw, _contexts.compressor(LEVEL).compress)
    return _contexts.compressor(level).compress(raw) if promising else None


ZSTD: Final = Codec(1, "zstd", decode_frame, partial(encode, LEVEL))
ZSTD_MATCHES: Final = Codec(1, "zstd", decode_frame, partial(encode, MATCHES_LEVEL))
ZSTD_SMALL: Final = Codec(1, "zstd", decode_frame, partial(encode, SMALL_LEVEL))
