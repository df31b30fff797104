"""Placement: spread over domains first, then backends; stable, weighted."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.placement import (
    Candidate,
    place,
    survivable_backends,
    survivable_domains,
)
from modelfloat.ids import BackendId


def candidates(domains: list[str], weight: float = 1.0) -> list[Candidate]:
    return [Candidate(BackendId(bytes([i]) * 16), d, weight) for i, d in enumerate(domains)]


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12), st.integers(1, 48), st.binary()
)
def test_shards_are_spread_evenly(domains: list[str], count: int, seed: bytes) -> None:
    members = candidates(domains)
    domain_of = {c.id: c.domain for c in members}
    places = place(seed, members, count)
    assert len(places) == count
    by_domain = Counter(domain_of[p] for p in places)
    assert max(by_domain.values()) - min(by_domain[d] for d in set(domains)) <= 1
    for domain in set(domains):
        used = Counter({c.id: 0 for c in members if c.domain == domain})
        used.update(p for p in places if domain_of[p] == domain)
        assert max(used.values()) - min(used.values()) <= 1


def test_no_candidate_gives_no_place() -> None:
    assert place(b"seed", [], 6) == []


def test_a_new_backend_moves_only_what_it_wins() -> None:
    old, new = candidates(list("abcde")), candidates(list("abcdef"))
    for number in range(200):
        seed = number.to_bytes(2, "big")
        before, after = place(seed, old, 1), place(seed, new, 1)
        assert after == before or after == [new[-1].id]


def test_weight_is_a_share() -> None:
    members = [*candidates(list("ab")), Candidate(BackendId(b"x" * 16), "c", 8.0)]
    won = sum(place(i.to_bytes(2, "big"), members, 1)[0] == b"x" * 16 for i in range(1000))
    assert 740 <= won <= 860


def test_what_survives_is_counted() -> None:
    assert survivable_backends(2, 6, 6) == 2
    assert survivable_backends(2, 6, 3) == 1
    assert survivable_backends(1, 9, 1) == 0
    assert survivable_domains(2, 6, candidates(["one"] * 6)) == 0
    assert survivable_domains(2, 6, candidates(list("abcdef"))) == 2
    assert survivable_domains(1, 2, candidates(list("ab"))) == 1
