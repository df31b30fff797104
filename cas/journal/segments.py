"""Segments: records that say what many others said, which are gone. `docs/format.md`, Journal.

A segment has parts, one a record. Whoever knows a record takes nothing of its part, and who lacks
it takes it as if it were the record itself: so a writer's numbers are found here where a question
for the next one finds nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ...errors import FormatError, ShardDamagedError
from ..encryption.storecipher import StoreCipher
from ..formats.journal import (
    Compacted,
    JournalEntry,
    ListedEntry,
    PackListed,
    list_entries,
    stored_pack,
)

LARGE: Final = 4 << 20
"""Records of so many bytes do not become part of one: few of them hold much."""


@dataclass(slots=True)
class Part:
    """What is kept of one record: who it was, and those of its entries that tell something."""

    of: Compacted
    entries: list[ListedEntry] = field(default_factory=list)


def parts_of(entries: Iterable[ListedEntry]) -> Iterator[Part]:
    """The parts of a segment's entries, in their order; what stands before the first is none."""
    part: Part | None = None
    for entry in entries:
        if isinstance(entry, Compacted):
            if part is not None:
                yield part
            part = Part(entry)
        elif part is not None:
            part.entries.append(entry)
    if part is not None:
        yield part


def read_parts(data: bytes, name: str, cipher: StoreCipher) -> list[Part]:
    """The parts of a sound segment called `name`; errors as from `list_entries`."""
    return list(parts_of(list_entries(data, name, cipher)))


def read_entries(part: Part, name: str, cipher: StoreCipher) -> tuple[JournalEntry, ...]:
    """A part's entries, with what they are of before them, all chunk tables read; FormatError."""
    try:
        read = tuple(
            stored_pack(entry, cipher.overhead) if isinstance(entry, PackListed) else entry
            for entry in part.entries
        )
    except ShardDamagedError as error:
        raise FormatError(f"{name} contradicts itself") from error
    return (part.of, *read)
