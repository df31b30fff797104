"""What the reading of a store has come to, at one moment: values for whoever shows them."""

from dataclasses import dataclass, field

from ..histogram import Histogram
from ..packs.health import State
from ..packs.members import Member
from .counters import Fetches, ReadCounts


@dataclass(frozen=True, slots=True)
class BackendReads:
    """What reading had of one backend: bytes that came, how long each range took, and the rest.

    `in_flight` ranges are under way, `given_up` ones took so long that others were read instead,
    and `errors` calls failed. `rate` is the most bytes a second that came lately, 0 while nobody
    knows. `state` is a word of `health.State`, or slow where one that is up is asked last; so it is
    for the reason `why`, "" where that needs none, since `since`, in Unix seconds.
    """

    name: str
    state: str = "up"
    fetched: int = 0
    given_up: int = 0
    in_flight: int = 0
    rate: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    errors: int = 0
    why: str = ""
    since: float = 0.0

    @classmethod
    def of(cls, member: Member, fetches: Fetches) -> "BackendReads":
        """The figures of a member."""
        seen = member.latency.view()
        return cls(
            member.name,
            "slow" if seen.demoted and member.state is State.UP else member.state.value,
            fetches.fetched,
            seen.given_up,
            seen.in_flight,
            seen.rate,
            fetches.latency,
            member.errors,
            member.health.reason,
            member.since,
        )


@dataclass(frozen=True, slots=True)
class ReadFigures:
    """All figures of an open store. Reading holds `memory` bytes of at most `memory_limit`."""

    counts: ReadCounts = field(default_factory=ReadCounts)
    latency: Histogram = field(default_factory=Histogram)
    memory: int = 0
    memory_limit: int = 0
    backends: tuple[BackendReads, ...] = ()
