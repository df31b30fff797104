"""Where new shards go: weighted rendezvous hashing over domains, then over their backends. Pure.

Score of a candidate: -weight / ln(h), h in (0, 1) from a hash of pack and candidate; the highest
wins. (Weighted rendezvous hashing: Schindelhauer and Schomaker, 2005.) Adding a candidate moves
only what it wins; nothing is moved here anyway: actual locations are recorded.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ..ids import BackendId

_SCALE: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that may take a shard: its UUID, failure domain and weight (> 0)."""

    id: BackendId
    domain: str
    weight: float


def place(seed: bytes, candidates: Sequence[Candidate], count: int) -> list[BackendId]:
    """Backends for `count` shards of the pack whose id is `seed`, by shard index.

    One shard a domain while domains last, then evenly over domains; inside a domain one a backend
    while backends last, then evenly. No candidates, no places: an empty list.
    """
    if not candidates:
        return []
    domains: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        domains.setdefault(candidate.domain, []).append(candidate)
    order = sorted(
        domains, key=lambda name: _score(seed, name.encode(), _weight(domains[name])), reverse=True
    )
    ranked = {
        name: sorted(members, key=lambda c: _score(seed, c.id, c.weight), reverse=True)
        for name, members in domains.items()
    }
    places: list[BackendId] = []
    used: Counter[BackendId] = Counter()
    for turn in range(count):
        members = ranked[order[turn % len(order)]]
        # min keeps the first of equals: the best score among the least used.
        chosen = min(members, key=lambda c: used[c.id])
        used[chosen.id] += 1
        places.append(chosen.id)
    return places


def _weight(members: Sequence[Candidate]) -> float:
    return sum(member.weight for member in members)


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
    return _losable(sorted(per_domain.values(), reverse=True), scheme_m)


def survivable_backends(scheme_m: int, shard_count: int, backends: int) -> int:
    """How many backends, the worst ones, may be lost when shards lie evenly over `backends`."""
    if not backends:
        return 0
    share, rest = divmod(shard_count, backends)
    return _losable([share + 1] * rest + [share] * (backends - rest), scheme_m)


def _losable(counts: list[int], m: int) -> int:
    lost = 0
    for number, count in enumerate(counts):
        lost += count
        if lost > m:
            return number
    return len(counts)
