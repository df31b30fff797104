"""Names that values have in `tmp/` while they are stored: of what, and since when. Pure."""

from dataclasses import dataclass
from typing import Final

from ..keys import is_key

MARK: Final = "~"
"""Stands for a slash in the name of an upload, and between its parts; no key has it."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A value's name while it is stored: its key, when it began by the node's clock, and whether
    it takes the place of another one."""

    key: str
    began: int
    replaces: bool
    random: str

    def __str__(self) -> str:
        parts = [self.key.replace("/", MARK), f"{self.began:012x}", "ar"[self.replaces]]
        return MARK.join([*parts, self.random])


def parse_upload(name: str) -> Upload | None:
    """The upload that a name in `tmp/` tells of; None where it is none of ours."""
    parts = name.rsplit(MARK, 3)
    if len(parts) != 4 or parts[2] not in ("a", "r"):
        return None
    key = parts[0].replace(MARK, "/")
    try:
        began = int(parts[1], 16)
    except ValueError:
        return None
    return Upload(key, began, parts[2] == "r", parts[3]) if is_key(key) else None
