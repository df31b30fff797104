"""What may be asked of the reading of a store."""

from dataclasses import dataclass

from ..cache.options import CacheOptions


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a store is read while it is open; what is None is found out.

    `memory` caps, in bytes, what chunks read, read ahead and decoded may take in all.
    Without `cache` nothing is kept on a disk. `warm_sets` has the files of a set loaded ahead of
    who opens them, and `repair` has packs mended that reads find damaged, where that is allowed.
    """

    memory: int | None = None
    cache: CacheOptions | None = None
    warm_sets: bool = True
    repair: bool = False
