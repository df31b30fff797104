"""What the reading of a store has come to, at one moment: values for whoever shows them."""

from dataclasses import dataclass, field

from ..histogram import Histogram
from ..packs.members import Member
from .counters import ReadCounts


@dataclass(frozen=True, slots=True)
class BackendReads:
    """What reading had of one backend: ranges and bytes that came, and those it still waits for.

    `p50` and `p99` are seconds within which half and nearly all of the latest ranges came, `rate`
    the most bytes a second that came lately; 0 while none did. `given_up` ranges took so long that
    others were read instead. `state` is a word: up, down, or slow where others are asked first.
    """

    name: str
    state: str = "up"
    fetches: int = 0
    fetched: int = 0
    given_up: int = 0
    in_flight: int = 0
    p50: float = 0.0
    p99: float = 0.0
    rate: float = 0.0

    @classmethod
    def of(cls, member: Member) -> "BackendReads":
        """The figures of a member."""
        seen = member.latency.view()
        state = "down" if member.down else "slow" if seen.demoted else "up"
        return cls(
            member.name,
            state,
            seen.reads,
            seen.bytes,
            seen.given_up,
            seen.in_flight,
            seen.p50,
            seen.p99,
            seen.rate,
        )


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """All figures of an open store. Reading holds `memory` bytes of at most `memory_limit`."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    latency: Histogram = field(default_factory=Histogram)
    memory: int = 0
    memory_limit: int = 0
    backends: tuple[BackendReads, ...] = ()
