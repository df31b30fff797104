"""How much room an add would take, and whether the backends have it. Pure.

What is not known to be stored counts as new; `sampling` tells what codecs make of it. Placement is
tried out: shards of sample packs are laid where real ones would lie, until something is full.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...erasure.scheme import Scheme
from ...ids import BackendId
from ..formats.shard import TRAILER_SIZE, shard_length
from ..packs.builder import pack_limit
from ..packs.placement import Candidate, Crowding, limits, place

CHUNK: Final = 512 << 10
"""Bytes of an average chunk."""
BLOCK: Final = 1 << 20
MANIFEST: Final = 160
"""Bytes of objects a file: its manifest without chunks, and its entry in a tree."""
ENTRY: Final = 36
"""Bytes of objects a chunk."""
ROW: Final = 250
"""Bytes of the index a chunk: twice its row, since pages are copied before they change."""
TABLES: Final = 4
"""A region table takes less than this part of its file, which has more to say of each region."""
SAMPLES: Final = 256


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be stored: `data` bytes of files that are new, in `files`, and its `objects`.

    `share` of the data is left when it is encoded; `tables` are the bytes of its region tables.
    """

    data: int
    files: int
    share: float = 1.0
    tables: int = 0

    @property
    def encoded(self) -> int:
        """Bytes of data in packs."""
        return int(self.data * self.share)

    @property
    def chunks(self) -> int:
        """About how many chunks that is."""
        return self.data // CHUNK + self.files

    @property
    def objects(self) -> int:
        """Bytes of manifests, region tables and trees."""
        return self.files * MANIFEST + self.chunks * ENTRY + self.tables

    @property
    def index(self) -> int:
        """Bytes that the index grows by."""
        return self.chunks * ROW + 2 * self.objects


def stored_size(load: Load, scheme: Scheme, copies: int | None = None) -> int:
    """Bytes that a load takes on backends: shards with parity, footers, copies of objects.

    `copies` is the parity of packs with objects, the scheme's if None.
    """
    limit = pack_limit(scheme)
    full, rest = divmod(load.encoded, limit)
    a_pack = -(-load.chunks // max(1, -(-load.encoded // limit)))
    size = full * _pack_size(limit, a_pack, scheme)
    if rest:
        # Short packs are copied, not split.
        last = scheme if rest >= BLOCK else Scheme(1, scheme.m)
        size += _pack_size(rest, a_pack, last)
    return size + _pack_size(load.objects, 1, Scheme(1, scheme.m if copies is None else copies))


def _pack_size(length: int, chunks: int, scheme: Scheme) -> int:
    shard, n = shard_length(length, scheme.k), scheme.k + scheme.m
    footer = 96 + 32 * n * -(-shard // BLOCK) + TRAILER_SIZE
    return n * (shard + footer + 48 * chunks)


@dataclass(frozen=True, slots=True)
class Room:
    """A backend that is up: `space` names what it shares its free bytes with, None: unlimited.

    `left` is what its capacity leaves of them, for it alone; None: no capacity.
    """

    candidate: Candidate
    name: str
    space: str
    free: int | None
    left: int | None = None


def fits(size: int, scheme: Scheme, rooms: Sequence[Room], everyone: Sequence[Candidate]) -> bool:
    """Whether `size` bytes of shards find their places; `everyone` are all backends, up or down."""
    count = scheme.k + scheme.m
    shard = size / (SAMPLES * count)
    left: dict[str | BackendId, float] = {r.space: r.free for r in rooms if r.free is not None}
    left |= {r.candidate.id: r.left for r in rooms if r.left is not None}
    space: Mapping[BackendId, str] = {room.candidate.id: room.space for room in rooms}
    most = limits(scheme.m, count, everyone)
    for number in range(SAMPLES):
        seed = blake3(number.to_bytes(4, "little")).digest(length=16)
        free = [
            r.candidate
            for r in rooms
            if min(left.get(r.space, shard), left.get(r.candidate.id, shard)) >= shard
        ]
        places = place(seed, free, count, most=most)
        if len(places) < count:
            places = place(seed, free, count, most=Crowding(most.backend, count))
        if len(places) < count:
            return False
        for where in places:
            for limit in (space[where], where):
                if limit in left:
                    left[limit] -= shard
    return all(bytes_ >= -shard for bytes_ in left.values())
