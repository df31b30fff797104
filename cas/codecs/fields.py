"""Codec 7, `fields`: blocks of one size, cut into runs that are laid together in planes.

What a quantised tensor's blocks hold is of several kinds: scales, whose upper bytes are nearly all
alike, and quants, which are not; mixed they hide each other. A layout says which bytes of a block
belong together. It is stored with the chunk, so nothing is needed to decode but the chunk itself.
"""

import struct
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from .codec import Buffer, Codec, Decoder
from .frames import damaged
from .planes import decode_planes, encode_planes, room
from .split import Bytes

NUMBER: Final = 7

SAVING: Final = 2
"""Percent of a plane that make it worth coding: quants shrink little, but are most of a block."""
SMALL_SAVING: Final = 1
"""The same at effort `small`; what shrinks by less than one in 64 zstd leaves alone itself."""

_RUN: Final = struct.Struct("<HB")


class Run(NamedTuple):
    """So many bytes of each block belong to that plane."""

    width: int
    plane: int


class _Place(NamedTuple):
    """Where a run lies: bytes `start` to `end` of a block, from byte `at` on in its plane."""

    start: int
    end: int
    at: int
    plane: int


@dataclass(frozen=True)
class Layout:
    """The runs of a block in order: 1 to 255, each of 1 byte or more, of planes 0, 1, 2 and so on.

    `block` is the block's size in bytes, `widths` how many bytes of it each plane has.
    """

    runs: tuple[Run, ...]
    block: int = field(init=False)
    widths: tuple[int, ...] = field(init=False)
    _places: tuple[_Place, ...] = field(init=False)

    def __post_init__(self) -> None:
        widths = [0] * (1 + max(run.plane for run in self.runs))
        places, start = [], 0
        for width, plane in self.runs:
            places.append(_Place(start, start + width, widths[plane], plane))
            widths[plane] += width
            start += width
        object.__setattr__(self, "block", start)
        object.__setattr__(self, "widths", tuple(widths))
        object.__setattr__(self, "_places", tuple(places))

    @classmethod
    def of(cls, *runs: tuple[int, int]) -> "Layout":
        """A layout from pairs of width and plane."""
        return cls(tuple(Run(*run) for run in runs))

    def encode(self) -> bytes:
        """How it stands before the planes."""
        return bytes([len(self.runs)]) + b"".join(_RUN.pack(*run) for run in self.runs)

    def split(self, blocks: Bytes, planes: list[Bytes]) -> None:
        """Fill `planes` from whole blocks."""
        rows = blocks.reshape(-1, self.block)
        for start, end, at, plane in self._places:
            into = planes[plane].reshape(len(rows), -1)
            into[:, at : at + end - start] = rows[:, start:end]

    def join(self, planes: list[Bytes], blocks: Bytes) -> None:
        """Fill whole blocks from `planes`."""
        rows = blocks.reshape(-1, self.block)
        for start, end, at, plane in self._places:
            rows[:, start:end] = planes[plane].reshape(len(rows), -1)[:, at : at + end - start]


def read_layout(encoded: memoryview, size: int) -> tuple[Layout, memoryview]:
    """The layout before the planes of a chunk of `size` bytes, and the rest; ChunkDamagedError."""
    count = encoded[0] if encoded else 0
    end = 1 + _RUN.size * count
    if not count or len(encoded) < end:
        raise damaged("chunk", size, "its layout is cut short")
    runs = tuple(Run(*run) for run in _RUN.iter_unpack(encoded[1:end]))
    planes = {run.plane for run in runs}
    if any(not run.width for run in runs) or planes != set(range(len(planes))):
        raise damaged("chunk", size, "its layout contradicts itself")
    return Layout(runs), encoded[end:]


def encode(layout: Layout, saving: int, raw: memoryview) -> bytes | None:
    """Whole blocks by planes, what is left behind them; None where no plane shrinks.

    A plane is coded where that saves `saving` percent of it.
    """
    count = len(raw) // layout.block
    if not count:
        return None
    end = count * layout.block
    planes = room([count * width for width in layout.widths])
    layout.split(np.frombuffer(raw[:end], np.uint8), planes)
    encoded = encode_planes(planes, raw[end:], saving=saving)
    return None if encoded is None else layout.encode() + encoded


def decode(encoded: Buffer, out: memoryview) -> None:
    """Fill `out`; ChunkDamagedError where layout and planes do not add up to it."""
    layout, rest = read_layout(memoryview(encoded), len(out))
    count = len(out) // layout.block
    if not count:
        raise damaged("chunk", len(out), f"it has no block of {layout.block} bytes")
    end = count * layout.block
    planes = decode_planes(rest, [count * width for width in layout.widths], out[end:])
    layout.join(planes, np.frombuffer(out[:end], np.uint8))


def fields(layout: Layout, saving: int = SAVING) -> Codec:
    """The codec for blocks of this layout; all of them decode alike."""
    return Codec(NUMBER, "fields", decode, partial(encode, layout, saving))


def words(size: int) -> Layout:
    """Words of `size` bytes, byte by byte: integers, and floats wherever they begin."""
    return Layout.of(*((1, plane) for plane in range(size)))


FIELDS: Final = Decoder(NUMBER, "fields", decode)
"""It reads whatever layout a chunk has."""
