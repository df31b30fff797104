"""A pack's shards: where they are, which may be asked, and what is said when too few are left."""

from collections.abc import Set as AbstractSet
from math import log2
from typing import Final

from ...backends.keys import shard_key
from ...errors import DataLostError
from ...ids import Key
from ..index.records import PackRecord, ShardState
from .members import Member, Members

QUICK: Final = 0.001
"""Seconds below which copies count as equally quick."""


def key_of(record: PackRecord, index: int) -> Key:
    """The key of one shard."""
    return shard_key(record.id, index, record.k, record.m)


class Shards:
    """Shards of packs on the store's members."""

    def __init__(self, members: Members) -> None:
        self.members = members

    def holder(self, record: PackRecord, index: int) -> Member | None:
        """The member that shard `index` is recorded on."""
        return self.members.get(record.backends[index])

    def usable(self, record: PackRecord, index: int) -> bool:
        """Whether shard `index` should be there: known good, on a backend that is up."""
        return record.states[index] is ShardState.GOOD and self.members.is_up(
            record.backends[index]
        )

    def prompt(self, record: PackRecord, index: int) -> bool:
        """Whether it should be read itself: usable, and its backend neither demoted nor suspect
        while k others are as well."""
        if not self.usable(record, index):
            return False
        return not self._doubtful(record, index) or self._prompt_others(record, index) < record.k

    def _doubtful(self, record: PackRecord, index: int) -> bool:
        member = self.holder(record, index)
        return member is not None and member.doubtful

    def _prompt_others(self, record: PackRecord, index: int) -> int:
        return sum(
            i != index and self.usable(record, i) and not self._doubtful(record, i)
            for i in range(record.n)
        )

    def demoted(self, record: PackRecord) -> list[int]:
        """Shards on backends that are up, but demoted."""
        return [
            i
            for i in range(record.n)
            if (member := self.holder(record, i)) is not None
            and member.latency.demoted
            and not member.down
        ]

    def beside(self, record: PackRecord, index: int) -> frozenset[int]:
        """The shards on the backend of shard `index`, that one included."""
        return frozenset(i for i in range(record.n) if record.backends[i] == record.backends[index])

    def candidates(
        self, record: PackRecord, without: AbstractSet[int], size: int, *, spread: bool = True
    ) -> list[int]:
        """Shards to ask for `size` bytes: those that are known good first, then those of backends
        that are neither demoted nor suspect, of copies those that will be there soonest, of others
        with `spread` those on backends which have least to do, else data before parity."""
        there = [
            (i, member)
            for i in range(record.n)
            if i not in without
            and (member := self.holder(record, i)) is not None
            and not member.down
        ]

        def rank(shard: tuple[int, Member]) -> tuple[bool, bool, int]:
            index, latency, doubtful = shard[0], shard[1].latency, shard[1].doubtful
            bad = record.states[index] is not ShardState.GOOD
            if record.k > 1:
                return bad, doubtful, latency.in_flight if spread else 0
            wait = (latency.typical(size) or 0.0) * (latency.in_flight + 1)
            # What differs by less than twice is alike: then the first is as good.
            return bad, doubtful, int(log2(max(wait, QUICK) / QUICK))

        return [index for index, _ in sorted(there, key=rank)]

    def lost(self, record: PackRecord, left: AbstractSet[int]) -> DataLostError:
        """The error for a pack of which only the shards `left` can be read."""
        down = ", ".join(sorted(m.name for m in self.members.down()))
        verb = "are" if ", " in down else "is"
        gone = self._without(record, left)
        return DataLostError(
            f"pack {record.id.hex()}: {len(gone)} of {record.n} shards are gone, "
            f"{record.k} are needed (gone: {', '.join(gone)})"
            + (f"; run `modelfloat verify --repair` when {down} {verb} back" if down else "")
        )

    def gone(self, record: PackRecord) -> list[str]:
        """Shards of a pack that cannot be had now, as far as is known, and where they were."""
        return self._without(record, {i for i in range(record.n) if self.usable(record, i)})

    def _without(self, record: PackRecord, left: AbstractSet[int]) -> list[str]:
        return [
            f"{i} on {self.members.name_of(record.backends[i])}"
            for i in range(record.n)
            if i not in left
        ]
