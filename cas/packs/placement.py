"""Where new shards go: weighted rendezvous hashing over domains, then over their backends. Pure.

Score of a candidate: -weight / ln(h), h in (0, 1) from a hash of pack and candidate; the highest
wins. (Weighted rendezvous hashing: Schindelhauer and Schomaker, 2005.) Adding a candidate moves
only what it wins; nothing is moved here anyway: actual locations are recorded.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ...ids import BackendId

_SCALE: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that may take a shard: its UUID, failure domain and weight (> 0)."""

    id: BackendId
    domain: str
    weight: float


@dataclass(frozen=True, slots=True)
class Crowding:
    """The most shards of one pack that one backend holds, and one domain."""

    backend: int
    domain: int

    def exceeds(self, other: "Crowding") -> bool:
        """Whether either is more than in `other`."""
        return self.backend > other.backend or self.domain > other.domain


@dataclass(frozen=True, slots=True)
class Move:
    """Where a shard belongs that is one too many where it is: on one backend, or in one domain."""

    to: BackendId
    crowded: str


UNLIMITED: Final = Crowding(1 << 16, 1 << 16)


def limits(m: int, count: int, members: Sequence[Candidate]) -> Crowding:
    """The most shards of a pack of `count`, `m` of them parity, to lay on one place.

    No more than parity replaces, so that one place may be lost; and at least what an even spread
    over all `members`, up or down, needs: six shards on two backends are three on each. Where the
    domains are too few for any of them to be lost, they do not limit: then only an even spread
    over backends helps.
    """
    domains = {member.domain for member in members}
    if not domains:
        return Crowding(max(1, m), max(1, m))
    backend = max(1, m, _ceil(count, len(members)))
    return Crowding(backend, m if _ceil(count, len(domains)) <= m else count)


def crowding(placed: Iterable[Candidate]) -> Crowding:
    """How crowded a pack lies whose shards are where `placed` says, one candidate a shard."""
    placed = list(placed)
    return Crowding(
        max(Counter(c.id for c in placed).values(), default=0),
        max(Counter(c.domain for c in placed).values(), default=0),
    )


def place(
    seed: bytes,
    candidates: Sequence[Candidate],
    count: int,
    taken: Iterable[Candidate] = (),
    most: Crowding = UNLIMITED,
) -> list[BackendId]:
    """Backends for `count` shards of the pack whose id is `seed`, by shard index.

    Where `most` limits domains, each goes to a domain with the fewest shards of the pack, there to
    a backend with the fewest; elsewhere to a backend with the fewest, of those in a domain with
    the fewest. The score decides among equals. `taken` says where shards of the pack lie already,
    one candidate a shard. Fewer than `count` places where candidates, or what `most` leaves of
    them, run out.
    """
    ranked = _ranked(seed, candidates)
    taken = list(taken)
    used = Counter(c.id for c in taken)
    load = Counter(c.domain for c in taken)
    by_domain = most.domain < count + len(taken)

    def domain_first(c: Candidate) -> tuple[int, int]:
        return load[c.domain], used[c.id]

    def backend_first(c: Candidate) -> tuple[int, int]:
        return used[c.id], load[c.domain]

    places: list[BackendId] = []
    while len(places) < count:
        free = [c for c in ranked if used[c.id] < most.backend and load[c.domain] < most.domain]
        if not free:
            break
        # min keeps the first of equals: the one with the best score.
        chosen = min(free, key=domain_first if by_domain else backend_first)
        used[chosen.id] += 1
        load[chosen.domain] += 1
        places.append(chosen.id)
    return places


def misplaced(
    seed: bytes, where: Sequence[Candidate | None], up: Sequence[Candidate], most: Crowding
) -> dict[int, Move]:
    """Which shards to move, and whereto, where a backend or a domain holds more than `most`.

    `where` has the place of each shard, None where that is no member. A shard stays where no
    backend of `up` may take it.
    """
    now = list(where)
    by_id = {candidate.id: candidate for candidate in up}
    moves: dict[int, Move] = {}
    for index in reversed(range(len(now))):
        here, others = now[index], [c for i, c in enumerate(now) if c is not None and i != index]
        if here is None:
            continue
        on_backend = 1 + sum(c.id == here.id for c in others)
        in_domain = 1 + sum(c.domain == here.domain for c in others)
        if on_backend <= most.backend and in_domain <= most.domain:
            continue
        for to in place(seed, up, 1, others, most):
            moves[index] = Move(to, "backend" if on_backend > most.backend else "domain")
            now[index] = by_id[to]
    return moves


def _ranked(seed: bytes, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates, those of the best domain first, in each the best first."""
    domains: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        domains.setdefault(candidate.domain, []).append(candidate)

    def domain_score(name: str) -> float:
        return _score(seed, name.encode(), sum(c.weight for c in domains[name]))

    return [
        candidate
        for name in sorted(domains, key=domain_score, reverse=True)
        for candidate in sorted(
            domains[name], key=lambda c: _score(seed, c.id, c.weight), reverse=True
        )
    ]


def _ceil(count: int, parts: int) -> int:
    return -(-count // parts)


def _score(seed: bytes, name: bytes, weight: float) -> float:
    number = int.from_bytes(blake3(seed + name).digest(8), "little")
    return -weight / math.log((number + 0.5) / _SCALE)


def survivable_domains(scheme_m: int, shard_count: int, candidates: Sequence[Candidate]) -> int:
    """How many whole domains, the worst ones, may be lost with `m` shards of parity."""
    per_domain = Counter[str]()
    names = sorted({c.domain for c in candidates})
    for turn in range(shard_count):
        if names:
            per_domain[names[turn % len(names)]] += 1
    return losable(sorted(per_domain.values(), reverse=True), scheme_m)


def survivable_backends(scheme_m: int, shard_count: int, backends: int) -> int:
    """How many backends, the worst ones, may be lost when shards lie evenly over `backends`."""
    if not backends:
        return 0
    share, rest = divmod(shard_count, backends)
    return losable([share + 1] * rest + [share] * (backends - rest), scheme_m)


def losable(counts: Sequence[int], m: int) -> int:
    """How many places, of `counts` shards each, the fullest first, may go where `m` shards may."""
    lost = 0
    for number, count in enumerate(counts):
        lost += count
        if lost > m:
            return number
    return len(counts)
