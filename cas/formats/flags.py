"""The version and the three flag sets that shards, journal records and markers carry.

`docs/format.md`, Versions and flags.
"""

from collections.abc import Iterable
from typing import Final

from ...errors import FormatError

VERSION: Final = 1
LATER_CODECS: Final = 1
"""`incompat`, bit 0, of shards and journal records: a chunk in it has a codec above 1. The first
releases know `raw` and `zstd` only, and must not take a pack over that they cannot read."""
ENCRYPTED: Final = 1 << 1
"""`incompat`, bit 1: what is in it is encrypted. Bit 0 is not set beside it: who knows this one
knows all codecs there were when it came, and a codec would be a hint at what is stored."""
SIGNED: Final = 1 << 2
"""`incompat`, bit 2, of journal records: a ref change in it is signed. It is set beside bit 1 too:
an earlier release must not take such a record for a damaged one."""
SEGMENT: Final = 1 << 3
"""`incompat`, bit 3, of journal records: it says what other records said, which may be gone. It is
set beside bit 1 too."""
KNOWN: Final = LATER_CODECS | ENCRYPTED
"""All of `incompat` that this release knows of shards."""
KNOWN_OF_RECORDS: Final = KNOWN | SIGNED | SEGMENT
"""All of `incompat` that it knows of journal records."""
FIRST_CODECS: Final = 1
"""The highest codec of packs without that flag."""


def codec_flags(codecs: Iterable[int]) -> int:
    """`incompat` of a pack, or of a record, whose chunks are stored with these codecs."""
    return LATER_CODECS if max(codecs, default=0) > FIRST_CODECS else 0


def check_readable(
    what: str, version: int, incompat: int, newest: int = VERSION, *, known: int = 0
) -> None:
    """Refuse what a newer release wrote. `what` names the object for the message, `newest` is the
    newest version of such objects that this release reads, `known` has the flags it knows."""
    if version > newest:
        raise FormatError(
            f"{what} has format version {version}, this release reads {newest}: upgrade"
        )
    if version < 1:
        raise FormatError(f"{what} has format version {version}, which never was; run verify")
    if incompat & ~known:
        raise FormatError(
            f"{what} uses features this release does not know ({incompat:#x}): upgrade"
        )
