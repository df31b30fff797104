"""Placement: spread over domains first, then backends; stable, weighted."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.packs.placement import (
    Candidate,
    Crowding,
    crowding,
    limits,
    misplaced,
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
    places = place(seed, members, count)
    assert len(places) == count
    used = Counter({c.id: 0 for c in members})
    used.update(places)
    assert max(used.values()) - min(used.values()) <= 1


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=12), st.integers(1, 48), st.binary()
)
def test_limited_domains_get_even_shares(domains: list[str], count: int, seed: bytes) -> None:
    members = candidates(domains)
    domain_of = {c.id: c.domain for c in members}
    share = -(-count // len(set(domains)))
    if share == count and count > 1:
        return  # one domain only: it takes all
    places = place(seed, members, count + 1, [], Crowding(1 << 16, share))[:count]
    by_domain = Counter(domain_of[p] for p in places)
    assert max(by_domain.values()) - min(by_domain[d] for d in set(domains)) <= 1


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0.01, 100)), min_size=1, max_size=12),
    st.integers(1, 32),
    st.integers(0, 16),
    st.binary(),
)
def test_no_domain_has_two_shards_while_another_has_none(
    found: list[tuple[str, float]], k: int, m: int, seed: bytes
) -> None:
    """Whatever the weights are, and whether or not a domain may be lost."""
    members = [
        Candidate(BackendId(bytes([i]) * 16), domain, weight)
        for i, (domain, weight) in enumerate(found)
    ]
    domain_of = {c.id: c.domain for c in members}
    places = place(seed, members, k + m, most=limits(m, k + m, members))
    domains = len(set(domain_of.values()))
    assert len({domain_of[p] for p in places[:domains]}) == min(domains, len(places))
    assert len(places) == k + m


def test_a_lone_backend_is_not_crowded_for_its_domain() -> None:
    """Five directories on one disk and one on another: any two of the six may be lost."""
    members = candidates(["a"] * 5 + ["b"])
    places = place(b"seed", members, 6, most=limits(2, 6, members))
    assert sorted(places) == sorted(member.id for member in members)


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


def test_limits_are_parity_or_what_all_members_need() -> None:
    assert limits(2, 6, candidates(list("abcdef"))) == Crowding(2, 2)
    assert limits(2, 6, candidates(["disk"] * 6)) == Crowding(2, 6)
    assert limits(2, 6, candidates(list("ab"))) == Crowding(3, 6)
    assert limits(1, 9, candidates(["disk"])) == Crowding(9, 9)
    assert limits(0, 4, candidates(list("abcd"))) == Crowding(1, 4)
    assert limits(2, 4, candidates(list("aaabbb"))) == Crowding(2, 2)


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=9),
    st.integers(1, 12),
    st.integers(0, 6),
    st.binary(),
)
def test_all_members_together_stay_within_their_limits(
    domains: list[str], count: int, m: int, seed: bytes
) -> None:
    members = candidates(domains)
    most = limits(m, count, members)
    by_id = {c.id: c for c in members}
    places = place(seed, members, count, most=most)
    assert len(places) == count
    assert not crowding(by_id[p] for p in places).exceeds(most)


def test_taken_places_count() -> None:
    a1, a2, b1 = candidates(["a", "a", "b"])
    assert place(b"seed", [a1, a2, b1], 1, [a1, b1]) == [a2.id]
    assert place(b"seed", [a1, a2, b1], 1, [a1, a2]) == [b1.id]
    assert place(b"seed", [a1, a2], 2, [b1, b1]) in ([a1.id, a2.id], [a2.id, a1.id])


def test_no_place_beyond_the_limits() -> None:
    a1, a2, b1 = candidates(["a", "a", "b"])
    assert place(b"seed", [a1, a2], 1, [a1, a2, b1], Crowding(2, 2)) == []
    assert place(b"seed", [b1], 3, [b1], Crowding(2, 4)) == [b1.id]


def test_what_lies_too_crowded_is_moved_and_nothing_else() -> None:
    members = candidates(list("abcdef"))
    most = limits(2, 6, members)
    assert misplaced(b"seed", members, members, most) == {}
    moves = misplaced(b"seed", [members[0]] * 6, members, most)
    assert len(moves) == 4
    assert {move.crowded for move in moves.values()} == {"backend"}
    assert len({move.to for move in moves.values()}) == 4
    assert misplaced(b"seed", [members[0]] * 6, members[:1], most) == {}


def test_a_crowded_domain_is_thinned_out() -> None:
    members = candidates(list("aaabbb"))
    where = [*members[:3], members[0]]
    moves = misplaced(b"seed", where, members, limits(2, 4, members))
    assert len(moves) == 2
    assert {move.crowded for move in moves.values()} == {"domain"}
    assert {move.to for move in moves.values()} <= {member.id for member in members[3:]}
