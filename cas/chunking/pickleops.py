"""A pickle as a list of opcodes with their arguments: nothing is built, called or imported.

Which argument an opcode has is looked up in the standard library's own table (`pickletools`). An
argument is cut out of the pickle when its opcode is reached, so a length that lies takes nothing.
"""

import pickletools
from collections.abc import Iterator
from typing import Final, NamedTuple

OPCODE_LIMIT: Final = 1 << 22
"""Most opcodes that are read; some 45 describe a tensor."""

_LINES: Final = {"GLOBAL": 2, "INST": 2}
# How many bytes the length of an argument takes, by what pickletools calls such an argument.
_COUNTED: Final = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}


class Opcode(NamedTuple):
    """How one opcode is read: its argument is `fixed` bytes, or as long as the `counted` bytes
    before it say, or so many `lines`."""

    name: str
    fixed: int = 0
    counted: int = 0
    lines: int = 0


def _read_as(info: pickletools.OpcodeInfo) -> Opcode:
    argument = info.arg
    if argument is None:
        return Opcode(info.name)
    if argument.n >= 0:
        return Opcode(info.name, fixed=argument.n)
    if argument.n == pickletools.UP_TO_NEWLINE:
        return Opcode(info.name, lines=_LINES.get(info.name, 1))
    return Opcode(info.name, counted=_COUNTED[argument.n])


OPCODES: Final = {ord(info.code): _read_as(info) for info in pickletools.opcodes}


def opcodes(pickle: bytes) -> Iterator[tuple[str, bytes]]:
    """Names of opcodes and their arguments, without lengths and the ends of lines, up to STOP.

    Two lines are one argument with a newline in it. ValueError where there is no opcode, an
    argument goes beyond the pickle, or the pickle ends or goes on for too long without a STOP.
    """
    at, end, table = 0, len(pickle), OPCODES
    for _ in range(OPCODE_LIMIT):
        if at >= end:
            break
        opcode = table.get(pickle[at])
        if opcode is None:
            raise ValueError(f"no opcode at byte {at}")
        at += 1
        name, size, counted, lines = opcode
        if counted:
            size = int.from_bytes(pickle[at : at + counted], "little")
            at += counted
        elif lines:
            size = _lines(pickle, at, lines)
        if size > end - at:
            raise ValueError(f"an argument of {size} bytes at byte {at}")
        yield name, pickle[at : at + size]
        if name == "STOP":
            return
        at += size + bool(lines)
    raise ValueError("a pickle without an end")


def _lines(pickle: bytes, at: int, count: int) -> int:
    """The size of so many lines, without the last newline."""
    stop = at - 1
    for _ in range(count):
        stop = pickle.find(b"\n", stop + 1)
        if stop < 0:
            raise ValueError(f"a line without an end at byte {at}")
    return stop - at
