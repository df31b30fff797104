"""What opens an encrypted store: a passphrase, a key file, or the key itself, from a sheet."""

import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from ...errors import UsageError
from ...ids import StoreId
from ..formats.keyring import SlotKind
from .sheet import decode_sheet, is_sheet

LONGEST: Final = 1 << 16
"""Bytes of the largest key file."""
SHORTEST_FILE: Final = 16
"""Bytes of the smallest key file: nobody can guess so many, if they are random."""
RANDOM_SIZES: Final = range(32, 65)
"""Bytes of key files that are looked at whether they are random, as what makes keys makes them. A
larger file is rather somebody's picture, which others may have too."""
DIFFERENT: Final = 3 / 4
"""Share of different bytes that random ones have at least: 24 of 32, where 30 are to be expected.
Where it falls short by chance opening takes some time, that is all."""
_TYPED: Final = frozenset(b"\t\n\r")
"""The control characters that text has."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Bytes that open a store, never shown by `repr`. `source` names it in messages.

    Without a `kind` it is the master key itself, from a recovery sheet of the store `store`.
    """

    kind: SlotKind | None
    data: bytes = field(repr=False)
    source: str
    store: StoreId | None = None

    @property
    def random(self) -> bool:
        """Whether it shows to be random bytes, which nobody can guess: a key file that is neither
        text nor repeats itself nor counts."""
        return self.kind is SlotKind.KEY_FILE and _looks_random(self.data)


def passphrase(text: str, source: str = "the passphrase") -> Secret:
    """A passphrase as text; UsageError where it is empty or too long.

    Composed as Unicode's NFC has it: keyboards differ in how they make an é.
    """
    data = unicodedata.normalize("NFC", text).encode(errors="surrogateescape")
    if not data or len(data) > LONGEST:
        raise UsageError(f"{source} is empty or longer than {LONGEST} bytes; give another one")
    return Secret(SlotKind.PASSPHRASE, data, source)


def key_file(data: bytes, source: str) -> Secret:
    """The content of a key file, or of a recovery sheet, which it is taken for by how it begins.

    UsageError where it is neither: too short or too long, or a sheet that was copied with mistakes.
    """
    if is_sheet(data):
        sheet = decode_sheet(data, source)
        return Secret(None, sheet.master, f"the recovery sheet {source}", sheet.store)
    if not SHORTEST_FILE <= len(data) <= LONGEST:
        raise UsageError(
            f"{source} cannot be a key file: it has {len(data)} bytes, and may have "
            f"{SHORTEST_FILE} to {LONGEST}"
        )
    return Secret(SlotKind.KEY_FILE, data, f"the key file {source}")


def _looks_random(data: bytes) -> bool:
    size = len(data)
    if size not in RANDOM_SIZES or len(set(data)) < DIFFERENT * size:
        return False
    steps = {(after - before) % 256 for before, after in pairwise(data)}
    # Text, in whatever encoding, has no control characters: of random bytes two in a hundred such
    # files have none either.
    return len(steps) > size // 2 and any(byte < 0x20 and byte not in _TYPED for byte in data)
