"""How good a pack is: which place of a chunk to keep where several packs have it.

Better is what more of its shards may be lost of; then what was made to lose more; then what lies on
its backends as evenly as the store can; then the newer one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..index.records import PackRecord
from ..packs.placement import Crowding, crowding, limits, place
from ..packs.pool import Pool

WHOLE: Final = 1
"""The bit of a rank that says that no shard of the pack is missing, as far as is known."""
ALIKE: Final = 4096
"""Ways for packs to lie on backends that are remembered."""
_BYTE: Final = 255

Rank = Callable[[PackRecord], int]
"""How good a pack is, the higher the better, below 2**63; see `WHOLE`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Judges the packs of one pool by what is known of their shards and backends now."""

    pool: Pool

    def ranking(self) -> Rank:
        """Ranks packs as backends are now: those that lie alike on them are looked at once."""
        alike: dict[object, tuple[int, bool]] = {}

        def ranked(pack: PackRecord) -> int:
            how = pack.k, pack.m, pack.backends, pack.states
            if (found := alike.get(how)) is None:
                found = self.spare(pack), self._is_even(pack)
                if len(alike) < ALIKE:
                    alike[how] = found
            spare, even = found
            return rank(pack, spare, 0 if even else self.excess(pack))

        return ranked

    def replaces(self, new: PackRecord, old: PackRecord) -> bool:
        """Whether a pack with all that is needed of `old` is as safe as that was made to be."""
        whole = self.spare(new) == new.m
        return whole and new.m >= old.m and self.excess(new) <= self.excess(old)

    def spare(self, pack: PackRecord) -> int:
        """Shards that may be lost of it still; negative where it is lost now."""
        return sum(self.pool.usable(pack, index) for index in range(pack.n)) - pack.k

    def excess(self, pack: PackRecord) -> int:
        """By how many shards it is more crowded than the store's backends make necessary."""
        if self._is_even(pack):
            return 0
        everyone = [member.candidate for member in self.pool.members]
        now = self._crowding(pack)
        most = limits(pack.m, pack.n, everyone)
        by_id = {candidate.id: candidate for candidate in everyone}
        best = crowding(by_id[id_] for id_ in place(pack.id, everyone, pack.n, most=most))
        return max(0, now.backend - best.backend) + max(0, now.domain - best.domain)

    def _is_even(self, pack: PackRecord) -> bool:
        """Whether it lies on backends and domains as evenly as any pack of so many shards."""
        now, domains = self._crowding(pack), {member.domain for member in self.pool.members}
        return (
            now.backend * len(self.pool.members) <= pack.n and now.domain * len(domains) <= pack.n
        )

    def _crowding(self, pack: PackRecord) -> Crowding:
        holders = [self.pool.holder(pack, index) for index in range(pack.n)]
        return crowding(member.candidate for member in holders if member is not None)


def rank(pack: PackRecord, spare: int, excess: int = 0) -> int:
    """The rank of a pack of which `spare` more shards may be lost, `excess` too many in one place.

    8 bits of spare shards, 8 of m, 8 of evenness, 32 of the pack's number, and WHOLE.
    """
    found = min(max(spare, 0), _BYTE)
    for value, bits in ((pack.m, 8), (_BYTE - min(excess, _BYTE), 8), (pack.number, 32)):
        found = found << bits | value
    return found << 1 | (WHOLE if spare >= pack.m else 0)
