"""What may be asked of the disk cache."""

from dataclasses import dataclass
from typing import Final

SIZE: Final = 50_000_000_000
"""Bytes that the cache of a store may take by default."""
KEEP_FREE: Final = 10_000_000_000
"""Bytes that it leaves free on its disk by default, but at most one part in SHARE of the disk."""
SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where chunks of one store are kept, and how much of them.

    `folder` may be shared by stores. `size` is bytes, with 0 nothing is kept. `keep_free` is what
    stays free on the disk, bytes; found out if None. `local` says to cache what local backends hold
    too.
    """

    folder: str
    size: int = SIZE
    keep_free: int | None = None
    local: bool = False
