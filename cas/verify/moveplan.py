"""Which shards of a pack go elsewhere: all that lie on a backend, or those that placement would not
lay where they are. Pure.

A shard stays as long as its backend is wanted for any shard of its pack: which of them lies where
does not matter. So a new backend gets what it wins of each pack, and nothing else moves.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from ...ids import BackendId
from ..packs.placement import Candidate, Crowding, place

Places = Sequence[Candidate | None]
"""The place of each shard of a pack, None where it is on no member."""
Moves = Mapping[int, BackendId]
"""Where shards go, by their index."""


def away(
    seed: bytes, where: Places, leaving: BackendId, free: Sequence[Candidate], most: Crowding
) -> dict[int, BackendId | None]:
    """Where the shards on `leaving` go, of those in `free`; None for one that finds no place."""
    by_id = {candidate.id: candidate for candidate in free if candidate.id != leaving}
    now = [None if c is not None and c.id == leaving else c for c in where]
    moves: dict[int, BackendId | None] = {}
    for index, here in enumerate(where):
        if here is None or here.id != leaving:
            continue
        taken = [c for c in now if c is not None]
        found = place(seed, list(by_id.values()), 1, taken, most)
        moves[index] = found[0] if found else None
        now[index] = by_id[found[0]] if found else None
    return moves


def spread(
    seed: bytes, where: Places, free: Sequence[Candidate], most: Crowding
) -> dict[int, BackendId]:
    """What to move so that a pack lies where it would be laid today; nothing where it finds no
    place as a whole."""
    wanted = Counter(place(seed, free, len(where), most=most))
    if wanted.total() < len(where):
        return {}
    surplus = []
    for index, here in enumerate(where):
        if here is not None and wanted[here.id]:
            wanted[here.id] -= 1
        elif here is not None:
            surplus.append(index)
    return dict(zip(surplus, wanted.elements(), strict=False))
