"""Region tables: what a file's structure is called, and where it lies. `docs/format.md`, Regions.

An entry says how long a region is, of what it consists, its name and its shape. Names share
beginnings, so each is written as what it has in common with the name before and the rest.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ...errors import ChunkDamagedError
from .objects import HEADER, ObjectType, expect, header
from .varint import MOST, VarintReader, encode_varint

INLINE_TABLE: Final = 16 << 10
"""A table of up to this many bytes stands in the manifest itself: it is read with every open."""
PAGE_SIZE: Final = (512 << 10) - HEADER.size
"""Longest entries of a region page, bytes."""
TABLE_SIZE: Final = 16 << 20
"""Longest table, bytes; that of the largest models takes less than a tenth. A file that makes a
longer one has none."""
NAME_SIZE: Final = 4096
"""Longest name of a region, bytes of UTF-8."""
BETWEEN_NAMES: Final = "\0"
"""What stands between the names of a tensor that has several."""
DIMENSIONS: Final = 64
"""Most dimensions of a shape: what NumPy has."""


class RegionLike(Protocol):
    """What a table says of a region: its bytes, its element type's number, name and shape."""

    @property
    def size(self) -> int: ...
    @property
    def element(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class TableRegion(NamedTuple):
    """A region as its table has it; `element` is a number that this release need not know."""

    offset: int
    size: int
    element: int
    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TablePart:
    """Entries of `count` regions, the first of which begins at the file's byte `offset`.

    A part is read without the others: the first name in it shares nothing.
    """

    offset: int
    count: int
    data: bytes


def names_of(region: RegionLike) -> list[str]:
    """What a tensor is called: one name, or all those that share its bytes; none of other bytes."""
    return [name for name in region.name.split(BETWEEN_NAMES) if name]


def encode_regions(regions: Iterable[RegionLike], size: int) -> list[TablePart]:
    """The table of a file of `size` bytes, as parts of at most PAGE_SIZE bytes.

    None at all where there are no regions, where they are not the file, or where something goes
    beyond what a table holds: it is a help, and never a reason not to store a file.
    """
    parts: list[TablePart] = []
    left, position = TABLE_SIZE, 0
    begun = _Part(0)
    for region in regions:
        entry = begun.entry(region)
        if entry is not None and begun.size + len(entry) > PAGE_SIZE:
            parts.append(begun.end())
            begun = _Part(position)
            entry = begun.entry(region)
        if entry is None or len(entry) > left:
            return []
        begun.add(entry, region.name)
        left -= len(entry)
        position += region.size
    return [*parts, begun.end()] if position == size and begun.count else []


class _Part:
    """A part in the making."""

    def __init__(self, offset: int) -> None:
        self._offset = offset
        self._entries: list[bytes] = []
        self._last = b""
        self.size = 0

    @property
    def count(self) -> int:
        return len(self._entries)

    def entry(self, region: RegionLike) -> bytes | None:
        """The region's entry, were it the next one; None where a table cannot hold it."""
        name = _name_bytes(region.name)
        shape = region.shape
        if name is None or len(shape) > DIMENSIONS or not 0 < region.size <= MOST:
            return None
        if not all(0 <= number <= MOST for number in shape):
            return None
        shared = _in_common(self._last, name)
        rest = name[shared:]
        return b"".join(
            [
                encode_varint(region.size),
                bytes([region.element]),
                encode_varint(shared),
                encode_varint(len(rest)),
                rest,
                encode_varint(len(shape)),
                *map(encode_varint, shape),
            ]
        )

    def add(self, entry: bytes, name: str) -> None:
        """Take an entry that `entry` made."""
        self._entries.append(entry)
        self.size += len(entry)
        if name:
            self._last = name.encode()

    def end(self) -> TablePart:
        """All of it."""
        return TablePart(self._offset, self.count, b"".join(self._entries))


def _name_bytes(name: str) -> bytes | None:
    try:
        data = name.encode()
    except UnicodeEncodeError:
        return None  # JSON can say half of a surrogate pair, which is no text
    return data if len(data) <= NAME_SIZE else None


def _in_common(a: bytes, b: bytes) -> int:
    """How many bytes both begin with."""
    most = min(len(a), len(b))
    # As numbers, most significant byte first: what they differ in begins at its highest bit.
    differ = int.from_bytes(a[:most]) ^ int.from_bytes(b[:most])
    return most - (differ.bit_length() + 7) // 8


def decode_regions(data: bytes, offset: int = 0) -> Iterator[TableRegion]:
    """The regions of a part that begins at the file's byte `offset`, one at a time.

    ChunkDamagedError where the part is cut short or says what cannot be.
    """
    reader, last = VarintReader(data), b""
    while reader.at < len(data):
        size, element, shared = reader.varint(), reader.byte(), reader.varint()
        rest = reader.take(_bounded(reader.varint(), NAME_SIZE))
        if size < 1 or shared > len(last) or shared + len(rest) > NAME_SIZE:
            raise _impossible()
        name = last[:shared] + rest
        shape = tuple(reader.varint() for _ in range(_bounded(reader.varint(), DIMENSIONS)))
        yield TableRegion(offset, size, element, _text(name), shape)
        offset += size
        last = name or last


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise _impossible() from error


def _bounded(number: int, most: int) -> int:
    if number > most:
        raise _impossible()
    return number


def _impossible() -> ChunkDamagedError:
    return ChunkDamagedError("a region table has an entry that cannot be")


def encode_region_page(part: TablePart) -> bytes:
    """The object of one part."""
    return header(ObjectType.REGION_PAGE) + part.data


def decode_region_page(data: bytes) -> bytes:
    """The entries of a region page."""
    expect(data, ObjectType.REGION_PAGE, HEADER.size)
    return data[HEADER.size :]
