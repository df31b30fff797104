"""Which entries of a journal record are encrypted, and how they stand in it.

`docs/format.md`, Encryption. Entries that tell of packs and refs are, and tombstones: a backend
that could forge one would have `gc` delete what others hold. So are those that say for which
records a segment stands: who could forge one would hide what these said. Places of shards are not,
so that shards are moved without the key.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

SEALED: Final = 5
"""The type of an entry that is encrypted, with its own type in it."""
TELLING: Final = (1, 2, 4, 6, 7)
"""The types of those that are encrypted: pack stored, ref changed, pack deleted, ref signed,
record compacted."""

_NUMBER: Final = struct.Struct("<I")
_TYPE: Final = struct.Struct("<Bxxx")
_MORE: Final = 32 + _TYPE.size + 16
"""Bytes that an encrypted entry has more: its salt, its type, its tag."""

Framed = tuple[int, bytes]
"""An entry's type and bytes."""


class Seals(Protocol):
    """Encrypts entries. `where` is an entry's place: its record's head, its number in it."""

    def seal(self, where: bytes, entry: bytes) -> bytes:
        """An entry encrypted; the same one at the same place gives the same bytes."""

    def open(self, where: bytes, sealed: bytes) -> bytes:
        """An entry in the clear; ValueError where it was not encrypted so for that place."""


class Records(Protocol):
    """How the records of a store are encrypted, if they are."""

    @property
    def encrypted(self) -> bool:
        """Whether they are."""

    @property
    def overhead(self) -> int:
        """Bytes by which a chunk may be longer than raw."""

    @property
    def entries(self) -> Seals | None:
        """What encrypts them, None where nothing does; KeyNeededError without the key."""


@dataclass(frozen=True, slots=True)
class Place:
    """A record, as the entries in it are bound to it: by all of its head, which says how many
    entries it has, and how long they are. So none of them can be taken out."""

    head: bytes

    def of(self, number: int) -> bytes:
        """Where the entry of that number is."""
        return self.head + _NUMBER.pack(number)


def sealed_length(type_: int, length: int, cipher: Records | None) -> int:
    """Bytes, as it stands in a record, of an entry of that type and `length` in the clear."""
    encrypted = cipher is not None and cipher.encrypted and type_ in TELLING
    return length + (_MORE if encrypted else 0)


def seal_entries(frames: Iterable[Framed], place: Place, cipher: Records) -> Iterator[Framed]:
    """Entries as they stand in a record: those that must be genuine encrypted, if any are."""
    for number, (type_, data) in enumerate(frames):
        seals = cipher.entries if type_ in TELLING else None
        if seals is None:
            yield type_, data
        else:
            yield SEALED, seals.seal(place.of(number), _TYPE.pack(type_) + data)


def open_entries(frames: Iterable[Framed], place: Place, cipher: Records) -> Iterator[Framed]:
    """Entries in the clear; ValueError where one is not encrypted and should be, or cannot be
    decrypted."""
    for number, (type_, data) in enumerate(frames):
        if cipher.encrypted and type_ in TELLING:
            raise ValueError("an entry that is not encrypted")
        seals = cipher.entries if type_ == SEALED else None
        if seals is None:
            yield type_, data
        else:
            clear = seals.open(place.of(number), data)
            yield _TYPE.unpack_from(clear)[0], clear[_TYPE.size :]
