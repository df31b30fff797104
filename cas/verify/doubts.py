"""Backends that are not believed any more, and the shards there that nobody has read yet.

A repair reads k shards of a pack and takes the others on trust. A backend on which it then finds
one that is rotten has lost that trust for the rest of the run: its shards are read with the k from
there on, and those that were left out before are read in the end.

So are those of packs that lost a shard on a backend which has most of its others still. Such packs
are few, beside all those that a run reads whole; where a backend lost most of what it held, nearly
all packs of a store are among them, and k shards of each are enough.

Memory: a bit for each pack and shard number of which any was left out, and for each pack and
backend that lost a shard of any.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ...ids import BackendId
from ..formats.journal import NOWHERE
from ..index.index import Index
from ..index.records import PackRecord, ShardState
from .judgement import Found, Shard
from .packset import PackSet


class Doubts:
    """What one run doubts. `unread` counts the shards that were left out and not read since."""

    def __init__(self) -> None:
        self.unread = 0
        self._doubted: set[BackendId] = set()
        self._settled: set[BackendId] = set()
        self._left: dict[int, PackSet] = {}
        self._held: Counter[BackendId] = Counter()
        self._lost: dict[BackendId, PackSet] = {}
        self._gone: Counter[BackendId] = Counter()
        self._single = PackSet()

    def __contains__(self, backend: object) -> bool:
        return backend in self._doubted

    def begin(self, pack: PackRecord) -> None:
        """A pack is being checked."""
        self._held.update(pack.backends)

    def note(
        self, pack: PackRecord, found: Sequence[Found], shards: Sequence[Found | Shard]
    ) -> None:
        """A pack was looked at: what was `found` of its shards, and what they were judged to be.

        What an earlier look at the pack has read need not be read again.
        """
        again = bool(self.left(pack))
        for index, (read, shard) in enumerate(zip(found, shards, strict=True)):
            if _is_rotten(pack.states[index], read, shard):
                self._doubted.add(pack.backends[index])
            if _is_lost(pack, index, read):
                where = pack.backends[index]
                self._gone[where] += self._lost.setdefault(where, PackSet()).add(pack.number)
            if not read.unread:
                self.settle(pack, [index])
            elif not again:
                self.unread += self._left.setdefault(index, PackSet()).add(pack.number)

    def left(self, pack: PackRecord) -> list[int]:
        """The shards of a pack that were left out."""
        return [index for index, packs in self._left.items() if pack.number in packs]

    def settle(self, pack: PackRecord, indexes: Iterable[int]) -> None:
        """Those shards were read."""
        for index in indexes:
            self.unread -= index in self._left and self._left[index].discard(pack.number)

    def owed(self, pack: PackRecord) -> list[int]:
        """The shards of a pack that were left out and are to be read after all: those where nothing
        is believed now, and all of a pack that lost what others there did not."""
        left, single = self.left(pack), pack.number in self._single
        return [index for index in left if single or pack.backends[index] in self]

    def all_owed(self, index: Index) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        """The packs that have such shards, once all were checked; again those on backends that are
        doubted since the last call. Each is named at most once for each backend, and once for what
        it lost. For a worker thread."""
        fresh = self._doubted - self._settled
        self._settled |= fresh
        found = self._singles()
        for shard, packs in self._left.items() if fresh else ():
            for number in packs:
                pack = index.pack(number)
                if pack is not None and pack.backends[shard] in fresh:
                    found.add(number)
        return np.fromiter(found, np.uint32)

    def _singles(self) -> PackSet:
        """Packs not named yet that lost a shard where most of the others are."""
        found = PackSet()
        for backend, packs in self._lost.items():
            if 2 * self._gone[backend] > self._held[backend]:
                continue
            for number in packs:
                if self._single.add(number) and self._is_left(number):
                    found.add(number)
        return found

    def _is_left(self, number: int) -> bool:
        return any(number in packs for packs in self._left.values())


def _is_lost(pack: PackRecord, index: int, found: Found) -> bool:
    """Whether a shard is not where it was put."""
    gone = found.payload is None and found.state is ShardState.MISSING and not found.unread
    return gone and pack.backends[index] != NOWHERE


def _is_rotten(known: ShardState, found: Found, shard: Found | Shard) -> bool:
    """Whether this look has shown that the bytes there are not those that were stored."""
    seen = found.payload is not None
    return bool(shard.problem) and (
        seen or (shard.state is ShardState.DAMAGED and known is not ShardState.DAMAGED)
    )
