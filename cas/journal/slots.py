"""Writer slots: the lock files of open journals, and the writer id that each guards.

A slot's file holds a writer id in hex while its journal is open, and behind it, once the journal
was closed in good order, the number of its last record. So a file without that number tells of a
crash or a failed write: a record may be on its way that nobody knows of, and its id is never used
again (`docs/format.md`, Write order).

A file cut short is no slot: it is written only while nothing of its writer is left to apply.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from ...durable import append_lines, on_store_disk
from ...ids import WriterId, random_writer_id

PREFIX: Final = "writer"
"""What the names of the lock files begin with."""

GIVEN_UP: Final = "given-up"
"""The file of writers without a slot: an index of an earlier state may lack their records."""

_TEXT: Final = re.compile(rb"([0-9a-f]{32})(?: ([0-9]{1,20}))?\n")


@dataclass(frozen=True, slots=True)
class Slot:
    """A writer id; `closed` is its last record's number, None while it is open or after a crash."""

    writer: WriterId
    closed: int | None

    @classmethod
    def fresh(cls) -> "Slot":
        """A new id without records."""
        return cls(random_writer_id(), 0)


def read_slot(path: str) -> Slot | None:
    """What a slot's file holds; None for a new one. A bare id without a newline is an open slot."""
    with open(path, "rb") as file:
        match = _TEXT.fullmatch(file.read(100).rstrip(b"\n") + b"\n")
    if match is None:
        return None
    closed = None if match[2] is None else int(match[2])
    return Slot(WriterId(bytes.fromhex(match[1].decode())), closed)


def write_slot(path: str, slot: Slot) -> None:
    """Replace what a slot's file holds, durably; the caller holds its lock.

    ModelFloatError when the disk is full, or may not be written.
    """
    closed = "" if slot.closed is None else f" {slot.closed}"
    with on_store_disk(path):
        _replace(path, f"{slot.writer.hex()}{closed}\n".encode())


def _replace(path: str, data: bytes) -> None:
    with open(path, "r+b", buffering=0) as file:
        file.truncate()
        file.write(data)
        os.fsync(file.fileno())


def last_numbers(folder: str) -> dict[WriterId, int]:
    """The last record's number of every writer that a slot in `folder` says it of."""
    names = [name for name in os.listdir(folder) if name.startswith(f"{PREFIX}-")]
    slots = [read_slot(os.path.join(folder, name)) for name in names]
    return {slot.writer: slot.closed for slot in slots if slot is not None and slot.closed}


def all_writers(folder: str) -> list[WriterId]:
    """Every writer of this site: those that have slots, then those given up, the last one first."""
    names = [name for name in os.listdir(folder) if name.startswith(f"{PREFIX}-")]
    slots = [read_slot(os.path.join(folder, name)) for name in names]
    writers = [slot.writer for slot in slots if slot is not None]
    return list(dict.fromkeys([*writers, *reversed(list(given_up(folder)))]))


def note_given_up(folder: str, last: Mapping[WriterId, int]) -> None:
    """Remember, durably, the last records of writers whose slots others get; 0 for none."""
    path = os.path.join(folder, GIVEN_UP)
    lines = "".join(f"{writer.hex()} {number}\n" for writer, number in last.items())
    with on_store_disk(path):
        append_lines(path, lines.encode())


def given_up(folder: str) -> dict[WriterId, int]:
    """The last known record of every writer that was given up; a line cut short counts for none."""
    last: dict[WriterId, int] = {}
    for writer, number in _lines(folder):
        last[writer] = max(number, last.get(writer, 0))
    return last


def _lines(folder: str) -> Iterator[tuple[WriterId, int]]:
    try:
        with open(os.path.join(folder, GIVEN_UP), "rb") as file:
            found = [_TEXT.fullmatch(line) for line in file]
    except FileNotFoundError:
        return
    for match in found:
        if match is not None and match[2] is not None:
            yield WriterId(bytes.fromhex(match[1].decode())), int(match[2])
