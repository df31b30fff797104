"""The directory of a zip archive, and where its members' bytes lie.

Format: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 to 4.5. Nothing is inflated, and no number is
believed before it was held against the file: the directory is as long as it says and holds as many
entries as it says, members lie one behind the other in front of it, and the header that stands
before each member says the same as the directory. An archive behind other bytes or in several
parts is refused: so what is found is what every other reader finds.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from sys import getsizeof
from typing import Final, NamedTuple

from .parser import Source
from .room import Room

MAGIC: Final = b"PK\x03\x04"
MEMBER_LIMIT: Final = 1 << 16
"""Most members; a training state of the largest models in one file has some 10,000."""
DIRECTORY_LIMIT: Final = 16 << 20
"""Longest directory in bytes: 256 for each member."""
MEMBER_SIZE: Final = 320
"""Bytes of memory that an entry or a member takes besides its name."""

_END: Final = struct.Struct("<4s4H2IH")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_ENTRY: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_EXTRA: Final = struct.Struct("<HH")
_U64: Final = struct.Struct("<Q")
_LONGEST_COMMENT: Final = 0xFFFF
_NO16, _NO32 = 0xFFFF, 0xFFFFFFFF
_ZIP64: Final = 1
_ENCRYPTED: Final = 1 | 1 << 6 | 1 << 13
_SIZES_BEHIND: Final = 1 << 3
_STORED: Final = 0


class Directory(NamedTuple):
    """Where the directory lies, and how many entries it is said to have."""

    offset: int
    size: int
    entries: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What the directory says of one member: where its header is, and its bytes' number and kind.

    `size` is what they take in the archive; only where `stored` are they the member's own bytes.
    """

    name: bytes
    header: int
    size: int
    crc: int
    flags: int
    method: int
    stored: bool


class Member(NamedTuple):
    """A member of the archive: where its bytes lie, and whether they are stored as they are."""

    name: str
    offset: int
    size: int
    stored: bool


def read_directory(source: Source, room: Room) -> tuple[int, list[Entry]]:
    """Where the directory begins, and its entries in the order of their headers in the file.

    ValueError for whatever is no whole archive, and for one beyond our limits.
    """
    directory = _find(source)
    if directory.entries > MEMBER_LIMIT or directory.size > DIRECTORY_LIMIT:
        raise ValueError(f"a directory of {directory.entries} members, {directory.size} bytes")
    room.take(directory.size)
    listed = _entries(source.read(directory.offset, directory.size), room)
    entries = list(islice(listed, directory.entries + 1))
    if len(entries) != directory.entries:
        raise ValueError(f"{len(entries)} members instead of {directory.entries}")
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("two members of the same name")
    entries.sort(key=lambda entry: entry.header)
    return directory.offset, entries


def locate(source: Source, end: int, entries: list[Entry], room: Room) -> list[Member]:
    """The members behind `entries`, which lie one behind the other in front of `end`.

    ValueError where headers do not agree with the directory, or members overlap.
    """
    members: list[Member] = []
    position = 0
    for entry in entries:
        if not position <= entry.header <= end - _LOCAL.size:
            raise ValueError(f"the header of {entry.name!r} overlaps, or lies outside")
        offset = _data_offset(source, entry, end)
        position = offset + entry.size
        if position > end:
            raise ValueError(f"member {entry.name!r} overlaps the directory")
        name = _text(entry.name)
        room.take(MEMBER_SIZE + getsizeof(name))
        members.append(Member(name, offset, entry.size, entry.stored))
    return members


def _find(source: Source) -> Directory:
    """What the end of the archive says; it must lie right before it."""
    start = max(0, source.size - _END.size - _LONGEST_COMMENT)
    tail = source.read(start, source.size - start)
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if len(tail) - at >= _END.size:
            _, *numbers, comment = _END.unpack_from(tail, at)
            if at + _END.size + comment == len(tail):
                return _checked(source, start + at, numbers)
    raise ValueError("no end of a zip archive")


def _checked(source: Source, end: int, numbers: list[int]) -> Directory:
    disk, first_disk, here, entries, size, offset = numbers
    wide = _find64(source, end)
    if wide is not None:
        end, found = wide
        told = zip((offset, size, entries), found, (_NO32, _NO32, _NO16), strict=True)
        if any(small not in (large, unsaid) for small, large, unsaid in told):
            raise ValueError("the two ends of the archive disagree")
        offset, size, entries = found.offset, found.size, found.entries
    elif here != entries:
        raise ValueError("an archive in several parts")
    if disk not in (0, _NO16) or first_disk not in (0, _NO16):
        raise ValueError("an archive in several parts")
    if offset + size != end:
        raise ValueError(f"a directory of {size} bytes at {offset} does not end at {end}")
    return Directory(offset, size, entries)


def _find64(source: Source, end: int) -> tuple[int, Directory] | None:
    """The zip64 end of the archive and its offset, where a locator right before `end` names one."""
    if end < _LOCATOR.size + _END64.size:
        return None
    magic, disk, offset, disks = _LOCATOR.unpack(source.read(end - _LOCATOR.size, _LOCATOR.size))
    if magic != b"PK\x06\x07":
        return None
    if offset != end - _LOCATOR.size - _END64.size or disk or disks > 1:
        raise ValueError("a zip64 end that is not where it belongs")
    magic, length, *_, disk, first_disk, here, entries, size, start = _END64.unpack(
        source.read(offset, _END64.size)
    )
    if magic != b"PK\x06\x06" or length != _END64.size - 12 or disk or first_disk:
        raise ValueError("a zip64 end that is none")
    if here != entries:
        raise ValueError("an archive in several parts")
    return offset, Directory(start, size, entries)


def _entries(data: bytes, room: Room) -> Iterator[Entry]:
    at = 0
    while at < len(data):
        if len(data) - at < _ENTRY.size:
            raise ValueError("a directory that ends within an entry")
        magic, _, _, flags, method, _, _, crc, *numbers = _ENTRY.unpack_from(data, at)
        packed, size, name_size, extra_size, comment_size, disk, _, _, header = numbers
        if magic != b"PK\x01\x02" or disk not in (0, _NO16):
            raise ValueError("no entry where one belongs")
        names = at + _ENTRY.size
        extras = names + name_size
        at = extras + extra_size + comment_size
        if at > len(data):
            raise ValueError("an entry beyond the directory")
        size, packed, header = _wide(data[extras : extras + extra_size], [size, packed, header])
        stored = method == _STORED and not flags & _ENCRYPTED
        if stored and size != packed:
            raise ValueError(f"{size} bytes stored as {packed}")
        room.take(MEMBER_SIZE + name_size)
        yield Entry(data[names:extras], header, packed, crc, flags, method, stored)


def _wide(extra: bytes, numbers: list[int]) -> list[int]:
    """`numbers` with those that did not fit in 32 bits from the zip64 field of `extra`."""
    if _NO32 not in numbers:
        return numbers
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, size = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        if kind == _ZIP64:
            return _unpacked(extra[at : at + size], numbers)
        at += size
    return numbers


def _unpacked(field: bytes, numbers: list[int]) -> list[int]:
    large = [number == _NO32 for number in numbers]
    if len(field) < sum(large) * _U64.size:
        raise ValueError("a zip64 field that is too short")
    values = (value for (value,) in _U64.iter_unpack(field[: sum(large) * _U64.size]))
    return [
        next(values) if is_large else number
        for number, is_large in zip(numbers, large, strict=True)
    ]


def _data_offset(source: Source, entry: Entry, end: int) -> int:
    """Where the bytes of `entry` begin, behind a header that says what the directory says."""
    room = min(_LOCAL.size + len(entry.name), end - entry.header)
    header = source.read(entry.header, room)
    magic, _, flags, method, _, _, crc, packed, _, name, extra = _LOCAL.unpack_from(header)
    if magic != MAGIC or flags != entry.flags or method != entry.method:
        raise ValueError(f"no header of {entry.name!r} at {entry.header}")
    if header[_LOCAL.size :] != entry.name or name != len(entry.name):
        raise ValueError(f"the header of {entry.name!r} has another name")
    later = bool(flags & _SIZES_BEHIND)
    if packed not in (entry.size, _NO32, 0 if later else entry.size):
        raise ValueError(f"the header of {entry.name!r} has another size")
    if crc not in (entry.crc, 0 if later else entry.crc):
        raise ValueError(f"the header of {entry.name!r} has another checksum")
    return entry.header + _LOCAL.size + int(name) + int(extra)


def _text(name: bytes) -> str:
    """UTF-8 where it is that, else the code page that the format began with."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437")
