"""What the processes of a store remember together of one provider: 260 bytes. Pure.

docs/format.md has the table. What cannot be read is begun anew: that costs one burst too many.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from .day import HOURS, Day
from .turns import Turns

MAGIC: Final = b"MFRT"
VERSION: Final = 1
BOOT_SIZE: Final = 16
_BODY: Final = struct.Struct(f"<4sB3x{BOOT_SIZE}s2Q8x2Q{HOURS}Q")
_SUM: Final = struct.Struct("<I")
SIZE: Final = _BODY.size + _SUM.size


@dataclass(frozen=True, slots=True)
class Known:
    """Whose turn it is, and how much was stored in a day."""

    turns: Turns = field(default_factory=Turns)
    day: Day = field(default_factory=Day)


def encode(known: Known, boot: bytes) -> bytes:
    """The record, of a machine that was booted as `boot` (16 bytes): turns are by its clock."""
    turns, day = known.turns, known.day
    times = (turns.full, turns.write, turns.each)
    body = _BODY.pack(MAGIC, VERSION, boot, *times, day.hour, *day.stored)
    return body + _SUM.pack(zlib.crc32(body))


def decode(data: bytes, boot: bytes) -> Known:
    """What a record says, without its turns if the machine was booted since; nothing where it is
    damaged, or of another version."""
    if len(data) != SIZE or _SUM.unpack_from(data, _BODY.size)[0] != zlib.crc32(data[: _BODY.size]):
        return Known()
    magic, version, booted, full, write, each, hour, *stored = _BODY.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        return Known()
    turns = Turns(full, write, each) if booted == boot else Turns()
    return Known(turns, Day(hour, tuple(stored)))
