"""What a writer relies on: packs that it found stored, or stored, and may not be deleted."""

from dataclasses import dataclass, field

from ...ids import PackId


class CondemnedError(Exception):
    """Another site condemned, or deleted, packs that were relied on: the work is to be done again.

    It never reaches a user: who did the work does it again without these packs.
    """


@dataclass(slots=True)
class Reliance:
    """`relied` are packs that something to be committed needs; nothing is to rely on `condemned`.

    Shared by worker threads, which only add to the first and only read the second.
    """

    relied: set[PackId] = field(default_factory=set)
    condemned: frozenset[PackId] = frozenset()

    def refuse(self, condemned: frozenset[PackId], gone: frozenset[PackId]) -> None:
        """CondemnedError where something relies on one of these; from now on nothing does."""
        dead = (condemned | gone) & self.relied
        self.condemned |= condemned
        if dead:
            self.relied.clear()
            raise CondemnedError(f"{len(dead)} packs that were relied on are condemned")
