"""Codec 0: the chunk itself."""

from typing import Final

from ...errors import ChunkDamagedError
from .codec import Buffer, Codec


def encode(raw: memoryview) -> memoryview:
    """The very same buffer; nothing is copied."""
    return raw


def decode(encoded: Buffer, out: memoryview) -> None:
    """Copy `encoded` to `out`; ChunkDamagedError unless they have one length."""
    if len(encoded) != len(out):
        raise ChunkDamagedError(
            f"a raw chunk of {len(out)} bytes is stored in {len(encoded)}; "
            "run `modelfloat verify --repair`"
        )
    out[:] = encoded


RAW: Final = Codec(0, "raw", decode, encode)
