"""What the reading of a store has come to, at one moment: values for whoever shows them."""

from dataclasses import dataclass, field

from ..histogram import Histogram
from ..packs.members import Member
from .counters import Fetches, ReadCounts


@dataclass(frozen=True, slots=True)
class BackendReads:
    """What reading had of one backend: bytes that came, how long each range took, and the rest.

    `in_flight` ranges are under way, `given_up` ones took so long that others were read instead.
    `rate` is the most bytes a second that came lately, 0 while nobody knows. `state` is a word: up,
    down, or slow where others are asked first.
    """

    name: str
    state: str = "up"
    fetched: int = 0
    given_up: int = 0
    in_flight: int = 0
    rate: float = 0.0
    latency: Histogram = field(default_factory=Histogram)

    @classmethod
    def of(cls, member: Member, fetches: Fetches) -> "BackendReads":
        """The figures of a member."""
        seen = member.latency.view()
        return cls(
            member.name,
            "down" if member.down else "slow" if seen.demoted else "up",
            fetches.fetched,
            seen.given_up,
            seen.in_flight,
            seen.rate,
            fetches.latency,
        )


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """All figures of an open store. Reading holds `memory` bytes of at most `memory_limit`."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    latency: Histogram = field(default_factory=Histogram)
    memory: int = 0
    memory_limit: int = 0
    backends: tuple[BackendReads, ...] = ()
