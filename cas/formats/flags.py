"""The version and the three flag sets that shards, journal records and markers carry.

`docs/format.md`, Versions and flags.
"""

from ...errors import FormatError

VERSION = 1
KNOWN_INCOMPAT = 0


def check_readable(what: str, version: int, incompat: int, newest: int = VERSION) -> None:
    """Refuse what a newer release wrote. `what` names the object for the message, `newest` is the
    newest version of such objects that this release reads."""
    if version > newest:
        raise FormatError(
            f"{what} has format version {version}, this release reads {newest}: upgrade"
        )
    if version < 1:
        raise FormatError(f"{what} has format version {version}, which never was; run verify")
    if incompat & ~KNOWN_INCOMPAT:
        raise FormatError(
            f"{what} uses features this release does not know ({incompat:#x}): upgrade"
        )
