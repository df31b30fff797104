"""Which of a pack's places get its data shards: so many everywhere that none is read more. Pure.

Who reads a file through reads data shards. Placement says which backends get a shard of a pack, not
which one; left to chance, one of six backends has a fifth more of a file's data than its share, and
a reader waits for that one.
"""

from collections import defaultdict
from collections.abc import Sequence

from ...ids import BackendId


class Evenness:
    """Deals the shards of one pack after the other; what an earlier one had is made up for."""

    def __init__(self) -> None:
        self._excess: defaultdict[BackendId, float] = defaultdict(float)

    def deal(self, places: Sequence[BackendId], k: int) -> list[BackendId]:
        """The same places, those first that get the `k` data shards.

        Parity goes where most data is beyond the share that places have on average.
        """
        if k >= len(places):
            return list(places)
        share = k / len(places)
        for place in places:
            self._excess[place] -= share
        dealt: list[BackendId] = []
        left = list(places)
        while len(dealt) < k:
            # min keeps the first of equals, as they were placed.
            chosen = min(left, key=lambda place: self._excess[place])
            self._excess[chosen] += 1
            left.remove(chosen)
            dealt.append(chosen)
        return [*dealt, *left]
