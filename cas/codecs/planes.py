"""The container of all codecs that store a chunk as planes. `docs/format.md`, Planes.

A plane is a run of bytes of one meaning: the exponents of a chunk's floats, the scales of its
blocks. Each is stored on its own and by the method that suits it, decided anew for every chunk:
what a tensor was like a chunk ago says nothing about what it is like here.
"""

import struct
import threading
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np

from ..formats.chunktable import MAX_CHUNK
from . import huffman
from .codec import Buffer
from .frames import damaged
from .sample import is_promising, is_worth_it
from .split import Bytes


class Method(IntEnum):
    """How one plane is stored. A byte of the format: numbers never change."""

    RAW = 0
    HUFFMAN = 1
    CONSTANT = 2


Stored = tuple[Method, Buffer]

_PLANE: Final = struct.Struct("<BI")


class _Scratch(threading.local):
    """Room for the planes of one chunk, a set a thread."""

    def __init__(self) -> None:
        self.room = np.empty(MAX_CHUNK, np.uint8)


_scratch: Final = _Scratch()


def room(lengths: Sequence[int]) -> list[Bytes]:
    """Planes of `lengths` bytes in this thread's buffer, until it asks again: MAX_CHUNK in all."""
    planes, at = [], 0
    for length in lengths:
        planes.append(_scratch.room[at : at + length])
        at += length
    return planes


def encode_planes(planes: Sequence[Bytes], tail: Buffer = b"") -> bytes | None:
    """The container of `planes` and what belongs to none of them; None where no plane shrinks."""
    return pack([encode_plane(plane) for plane in planes], tail)


def pack(stored: Sequence[Stored], tail: Buffer) -> bytes | None:
    """The container of planes that are encoded already; None where all are raw."""
    if all(method is Method.RAW for method, _ in stored):
        return None
    heads = [_PLANE.pack(method, len(data)) for method, data in stored]
    return b"".join([*heads, *(data for _, data in stored), tail])


def encode_plane(plane: Bytes) -> Stored:
    """The smallest way to store one plane, as far as a cheap look at it tells."""
    view = plane.data
    if len(view) > 1 and view[0] == view[-1] and plane.min() == plane.max():
        return Method.CONSTANT, bytes(view[:1])
    if is_promising(view, huffman.encode):
        encoded = huffman.encode(view)
        if is_worth_it(len(view), len(encoded)):
            return Method.HUFFMAN, encoded
    return Method.RAW, view


def decode_planes(encoded: Buffer, lengths: Sequence[int], tail: memoryview) -> list[Bytes]:
    """Planes of exactly `lengths` bytes; fills `tail` with what follows them.

    They are valid until this thread decodes the next chunk: raw ones lie in `encoded` itself, all
    others in `room`. ChunkDamagedError unless everything adds up to the last byte.
    """
    size = sum(lengths) + len(tail)
    view = memoryview(encoded)
    at = _PLANE.size * len(lengths)
    if len(view) < at or sum(lengths) > MAX_CHUNK:
        raise damaged("chunk", size, "its planes are cut short")
    planes = []
    for number, into in enumerate(room(lengths)):
        method, length = _PLANE.unpack_from(view, _PLANE.size * number)
        data = view[at : at + length]
        if len(data) != length:
            raise damaged("chunk", size, "its planes are cut short")
        planes.append(decode_plane(method, data, into))
        at += length
    if len(view) != at + len(tail):
        raise damaged("chunk", size, f"{len(view) - at} bytes follow its planes, not {len(tail)}")
    tail[:] = view[at:]
    return planes


def decode_plane(method: int, data: memoryview, into: Bytes) -> Bytes:
    """A plane as long as `into`, in it or in `data`; ChunkDamagedError."""
    if method == Method.HUFFMAN:
        huffman.decode(data, into.data)
        return into
    if method == Method.CONSTANT and len(data) == 1:
        into.fill(data[0])
        return into
    if method == Method.RAW and len(data) == len(into):
        return np.frombuffer(data, np.uint8)
    raise damaged("plane", len(into), f"it is stored in {len(data)} by method {method}")
