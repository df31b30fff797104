"""zstd driven as a Huffman coder: for planes whose bytes have an uneven distribution and no order.

Ordinary levels look for repetitions; in an exponent plane they find accidental ones, which costs
time and makes the result larger. These parameters find next to none, so every block is coded by
its literals' frequencies; long runs are still found. `docs/decisions/0014-floats-by-planes.md` has
the figures. Decoders need none of this: a frame is a frame.
"""

import threading
from typing import Final

import zstandard

from .codec import Buffer
from .frames import decode_frame

_PARAMETERS: Final = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    window_log=17,
    chain_log=6,
    hash_log=6,
    search_log=1,
    min_match=7,
    target_length=0,  # Anything above turns the coding of literals off.
    write_content_size=True,
    write_checksum=False,
    write_dict_id=False,
)


TABLE: Final = 96
"""About what the table of a code takes, bytes; a slice of 8 KiB pays for it what 128 KiB do."""


class _Contexts(threading.local):
    """One compressor a thread: it may not be shared."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(compression_params=_PARAMETERS)


_contexts: Final = _Contexts()


def encode(plane: Buffer) -> bytes:
    """One zstd frame; lets go of the GIL."""
    return _contexts.compressor.compress(plane)


decode: Final = decode_frame
