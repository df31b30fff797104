"""What moving shards would do, and what it did."""

from dataclasses import dataclass, field

from .report import LISTED, Problem


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """So many shards, of so many bytes, that go from one backend to another, by their names."""

    source: str
    target: str
    shards: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What moving shards would do. `stuck` counts shards that no backend has a place for.

    `survives` says what may be lost now, `will_survive` what when all is moved; `worse` whether
    that is less.
    """

    moves: tuple[PlannedMove, ...]
    stuck: int
    survives: str
    will_survive: str
    worse: bool

    @property
    def shards(self) -> int:
        """Shards that would move."""
        return sum(move.shards for move in self.moves)

    @property
    def bytes(self) -> int:
        """Their bytes."""
        return sum(move.bytes for move in self.moves)


@dataclass(slots=True)
class MoveReport:
    """What moving shards did: `shards` of so many `bytes`, `remade` of them from others of their
    packs. `problems` are shards that stay where they are; of many the first are named."""

    shards: int = 0
    bytes: int = 0
    remade: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    stayed: int = 0
    problems: list[Problem] = field(default_factory=list)

    def note(self, problem: Problem) -> None:
        """Add one shard that stays."""
        self.stayed += 1
        if len(self.problems) < LISTED:
            self.problems.append(problem)
