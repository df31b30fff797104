"""Who may ask a provider next: the generic cell rate algorithm, with reads before writes. Pure.

The algorithm is the virtual scheduling one of ATM Forum TM 4.0 (af-tm-0056.000, 1996, 4.4.2): a
token bucket in one number, the moment at which it would be full again. Who comes takes his tokens
at once and is told how long to wait for them, so turns come in order and nobody starves.

Half of a burst is kept for reads. And of all that writes want, only the next turn is given ahead
of its time: a read that comes meanwhile waits for that one at most, however many shards are on
their way out. Times are nanoseconds of a clock that all who share the state have.
"""

from dataclasses import dataclass, replace
from typing import Final

from ...rate import Rate

SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Turns:
    """When the bucket is `full` again, and when the last turn of a `write` came or comes. `each` is
    what one request takes, by the rate that the others were told; 0 where there is none."""

    full: int = 0
    write: int = 0
    each: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """What was given: it comes at `at`, unless `taken` is False; then `at` is when to ask again.

    `before` and `after` are what the bucket was and became.
    """

    at: int
    taken: bool
    before: Turns
    after: Turns


def take(turns: Turns, rate: Rate, now: int, cost: int = 1, *, writing: bool = False) -> Turn:
    """The next turn for `cost` requests, of one who would be `writing` or reads."""
    each = 0 if rate.requests is None else max(1, round(SECOND / rate.requests))
    turns = _by_rate(turns, each, now)
    if writing and turns.write > now:
        return Turn(turns.write, False, turns, turns)
    begun = max(now, turns.full)
    kept = rate.burst // 2 if writing else 0
    at = max(now, begun - max(0, rate.burst - kept - cost) * each)
    after = replace(turns, full=begun + cost * each, write=at if writing else turns.write)
    return Turn(at, True, turns, after)


def _by_rate(turns: Turns, each: int, now: int) -> Turns:
    """The same requests ahead of us, by another rate: it may have been far slower."""
    if turns.each == each:
        return turns
    full, write = (_rescaled(at, turns.each, each, now) for at in (turns.full, turns.write))
    return replace(turns, full=full, write=write, each=each)


def _rescaled(at: int, was: int, each: int, now: int) -> int:
    return at if at <= now else now + ((at - now) * each // was if was else 0)


def give_back(turns: Turns, turn: Turn) -> Turns:
    """What is left when a turn is not used: as before, unless somebody came since."""
    return turn.before if turn.taken and turns == turn.after else turns
