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
from .sample import SAVING, is_promising, is_worth_it, pieces
from .split import Bytes
from .squeeze import expand, squeeze


class Method(IntEnum):
    """How one plane is stored. A byte of the format: numbers never change."""

    RAW = 0
    HUFFMAN = 1
    CONSTANT = 2
    BITS = 3
    """Two values, a bit each."""
    SQUEEZED = 4
    """Together with the next plane, whose method is `NIBBLES`."""
    NIBBLES = 5


Stored = tuple[Method, Buffer]

_PLANE: Final = struct.Struct("<BI")
_ONES: Final = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).view(np.bool_)
"""Which bits of each byte are set, the most significant first."""


_FEW: Final = 512
"""Bytes at a plane's start that tell whether it might have two values only."""


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


def encode_planes(
    planes: Sequence[Bytes], tail: Buffer = b"", *, squeezed: bool = False, saving: int = SAVING
) -> bytes | None:
    """The container of `planes` and what belongs to none of them; None where no plane shrinks.

    With `squeezed` the first two, exponents and mantissas, are coded as one where that is smaller,
    and overwritten. A plane is Huffman coded where that saves `saving` percent of it.
    """
    stored = [encode_plane(plane, saving) for plane in planes[2 * squeezed :]]
    if squeezed:
        stored = _encode_pair(planes[0], planes[1]) + stored
    if all(method is Method.RAW for method, _ in stored):
        return None
    return pack(stored, tail)


def pack(stored: Sequence[Stored], tail: Buffer = b"") -> bytes:
    """The container of planes that are encoded already."""
    heads = [_PLANE.pack(method, len(data)) for method, data in stored]
    return b"".join([*heads, *(data for _, data in stored), tail])


def encode_plane(plane: Bytes, saving: int = SAVING) -> Stored:
    """The smallest way to store one plane, as far as a cheap look at it tells."""
    view = plane.data
    if len(view) > 1 and view[0] == view[-1] and plane.min() == plane.max():
        return Method.CONSTANT, bytes(view[:1])
    signs = len(view) >= _FEW and len(set(view[:_FEW])) == 2 and _encode_bits(plane)
    if signs:
        return signs
    if is_promising(view, huffman.encode, saving, huffman.TABLE):
        encoded = huffman.encode(view)
        if is_worth_it(len(view), len(encoded), saving):
            return Method.HUFFMAN, encoded
    return Method.RAW, view


def _encode_pair(exponents: Bytes, mantissas: Bytes) -> list[Stored]:
    """Exponents and mantissas: squeezed where the former are uneven and the latter are not.

    Exponents in runs, of rows that have a scale each, zstd makes smaller than the squeeze can;
    that a part of them tells, for encoding all of them both ways would take half as long again.
    """
    alone = encode_plane(mantissas)
    if alone[0] is Method.RAW and exponents.min() < exponents.max():
        part = pieces(exponents.data, 1)
        share = len(huffman.encode(part)) / len(part)
        pair = squeeze(exponents, mantissas)
        if pair:
            squeezed = len(pair[0]) + len(pair[1])
            if squeezed <= (1 + share) * len(exponents):
                return [(Method.SQUEEZED, pair[0]), (Method.NIBBLES, pair[1])]
            expand(memoryview(pair[0]), memoryview(bytes(pair[1])), exponents, mantissas)
    return [encode_plane(exponents), alone]


def _encode_bits(plane: Bytes) -> Stored | None:
    """A plane of two values, both frequent; where one is rare, zstd finds its long runs.

    Of the signs of F32 that holds BF16 zstd makes 0.20, by accidental repetitions, bits are 0.125.
    """
    low, high = plane.min(), plane.max()
    bits = plane == high
    ones = np.count_nonzero(bits)
    rarest = min(ones, len(plane) - ones)
    if 4 * rarest < len(plane) or ones + np.count_nonzero(plane == low) != len(plane):
        return None
    return Method.BITS, bytes([low, high]) + np.packbits(bits).tobytes()


def _spread_bits(data: memoryview, into: Bytes) -> None:
    """Eight bytes of the plane for each byte of bits, by a table of 256."""
    table = np.where(_ONES, np.uint8(data[1]), np.uint8(data[0])).view(np.uint64).ravel()
    bits = np.frombuffer(data, np.uint8, offset=2)
    whole = len(into) // 8
    np.take(table, bits[:whole], out=into[: 8 * whole].view(np.uint64), mode="clip")
    into[8 * whole :] = table[bits[whole:]].view(np.uint8)[: len(into) % 8]


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
    stored = []
    for number in range(len(lengths)):
        method, length = _PLANE.unpack_from(view, _PLANE.size * number)
        stored.append((method, view[at : at + length]))
        at += length
    if len(view) != at + len(tail):
        raise damaged("chunk", size, f"{len(view)} bytes hold its planes, not {at + len(tail)}")
    tail[:] = view[at:]
    return _decode_all(stored, room(lengths))


def _decode_all(stored: list[tuple[int, memoryview]], into: list[Bytes]) -> list[Bytes]:
    planes: list[Bytes] = []
    while len(planes) < len(stored):
        here = len(planes)
        pair = [method for method, _ in stored[here : here + 2]]
        if pair == [Method.SQUEEZED, Method.NIBBLES] and len(into[here]) == len(into[here + 1]):
            expand(stored[here][1], stored[here + 1][1], into[here], into[here + 1])
            planes += into[here : here + 2]
        else:
            planes.append(_decode_plane(*stored[here], into[here]))
    return planes


def _decode_plane(method: int, data: memoryview, into: Bytes) -> Bytes:
    """A plane as long as `into`, in it or in `data`; ChunkDamagedError."""
    match method, len(data):
        case Method.RAW, size if size == len(into):
            return np.frombuffer(data, np.uint8)
        case Method.HUFFMAN, _:
            huffman.decode(data, into.data)
        case Method.CONSTANT, 1:
            into.fill(data[0])
        case Method.BITS, size if size == 2 + (len(into) + 7) // 8:
            _spread_bits(data, into)
        case _:
            raise damaged("plane", len(into), f"it is stored in {len(data)} by method {method}")
    return into
