"""Backends that are not believed any more, and the shards there that nobody has read yet.

A repair reads k shards of a pack and takes the others on trust. A backend on which it then finds
one that is rotten has lost that trust for the rest of the run: its shards are read with the k from
there on, and those that were left out before are read in the end.

Memory: a bit for each pack and shard number of which any was left out.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ...ids import BackendId
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

    def __contains__(self, backend: object) -> bool:
        return backend in self._doubted

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
        """The shards of a pack that were left out, and lie where nothing is believed now."""
        return [index for index in self.left(pack) if pack.backends[index] in self]

    def all_owed(self, index: Index) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
        """The packs that have such shards, on backends that are doubted since the last call: each
        is named at most once for each backend. For a worker thread."""
        fresh = self._doubted - self._settled
        self._settled |= fresh
        found = PackSet()
        for shard, packs in self._left.items() if fresh else ():
            for number in packs:
                pack = index.pack(number)
                if pack is not None and pack.backends[shard] in fresh:
                    found.add(number)
        return np.fromiter(found, np.uint32)


def _is_rotten(known: ShardState, found: Found, shard: Found | Shard) -> bool:
    """Whether this look has shown that the bytes there are not those that were stored."""
    seen = found.payload is not None
    return bool(shard.problem) and (
        seen or (shard.state is ShardState.DAMAGED and known is not ShardState.DAMAGED)
    )
