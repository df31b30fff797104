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
SMALL_LEVEL: Final = 12
"""At effort `small`: Python source to 0.214, a model's vocabulary to 0.271 instead of 0.313, at a
twentieth of the speed; levels above take much longer for little."""


class _Contexts(threading.local):
    """A compressor a level and thread: none may be shared."""

    def __init__(self) -> None:
        self.compressors = {
            level: zstandard.ZstdCompressor(
                level=level, write_checksum=False, write_content_size=True, write_dict_id=False
            )
            for level in (LEVEL, SMALL_LEVEL)
        }


_contexts: Final = _Contexts()


def encode(level: int, raw: memoryview) -> bytes | None:
    """One frame, or None where a sample of `raw` hardly shrinks at the usual level."""
    compressors = _contexts.compressors
    promising = is_promising(raw, compressors[LEVEL].compress)
    return compressors[level].compress(raw) if promising else None


ZSTD: Final = Codec(1, "zstd", partial(encode, LEVEL), decode_frame)
ZSTD_SMALL: Final = Codec(1, "zstd", partial(encode, SMALL_LEVEL), decode_frame)
