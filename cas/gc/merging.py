"""Which small packs are worth merging: pure.

Merging copies bytes to have fewer packs, so it is done where it pays, and comes to an end. Of packs
that are alike the largest is left out for as long as it is longer than all smaller ones together:
what was merged before is not copied again for the sake of little. The others are merged if together
they fill a pack, or if there are MANY of them. What is left then are packs each of which is longer
than all smaller ones together, so the next collection merges nothing; and no byte is copied more
than about log2(full / its first pack) times until its pack is no small one any more. (The rule is
that of `git repack --geometric=2`.)
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

MANY: Final = 8
"""So many small packs are merged even if together they do not fill one."""


class Small(NamedTuple):
    """A small pack: its row, and what is needed of it, in bytes and in chunks."""

    row: int
    size: int
    chunks: int


class Full(NamedTuple):
    """What fills a pack: so many bytes, or so many chunks."""

    size: int
    chunks: int


def worth_merging(packs: Sequence[Small], full: Full) -> list[Small]:
    """Those of the small packs `packs`, alike in kind and scheme, that are to be merged."""
    chosen = sorted(packs, key=lambda pack: (pack.size, pack.row))
    size = sum(pack.size for pack in chosen)
    while chosen and chosen[-1].size > size - chosen[-1].size:
        size -= chosen.pop().size
    fills = size >= full.size or sum(pack.chunks for pack in chosen) >= full.chunks
    return chosen if len(chosen) > 1 and (fills or len(chosen) >= MANY) else []
