"""What is learned of backends from their reads, and what is made of it."""

import pytest

from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.packs.latency import CLASSES, KEPT, Latency, size_class
from modelfloat.cas.packs.members import Member, Members
from modelfloat.cas.packs.peers import (
    LOST,
    PROBE_FIRST,
    PROBES,
    SHORTEST,
    SLOW,
    SLOWEST,
    UNKNOWN,
    Peers,
)
from modelfloat.ids import BackendId, StoreId

MIB = 1 << 20


def members(count: int) -> list[Member]:
    """Backends that nobody reads."""
    return [
        Member(BackendId(bytes([i] * 16)), f"d{i}", MemoryBackend(f"d{i}"), f"dom{i}", 1.0)
        for i in range(count)
    ]


def judged(count: int = 6) -> tuple[list[Member], Peers]:
    """Members and their judge, which demotes."""
    found = members(count)
    peers = Peers(Members(StoreId(bytes(16)), found))
    peers.judging = True
    return found, peers


def learn(peers: Peers, found: list[Member], seconds: float = 0.05, reads: int = 20) -> None:
    """All members answer alike for a while."""
    for _ in range(reads):
        for member in found:
            peers.note(member, MIB, seconds)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0), (1, 0), (128 << 10, 0), ((128 << 10) + 1, 1), (MIB, 3), (4 * MIB, 5), (1 << 40, 7)],
)
def test_sizes_have_classes(size: int, expected: int) -> None:
    assert size_class(size) == expected < CLASSES


def test_quantiles_of_the_latest_reads() -> None:
    latency = Latency()
    assert latency.usual(MIB) is None
    for i in range(1, 101):
        latency.note(MIB, float(i))
    view = latency.view()
    assert view.least == 101 - KEPT
    assert 37 < (latency.typical(MIB) or 0) <= view.p95 <= view.p99 <= 100
    assert (view.reads, view.bytes) == (100, 100 * MIB)


def test_unknown_sizes_are_guessed_from_their_neighbours() -> None:
    latency = Latency()
    for _ in range(4):
        latency.note(MIB, 1.0)
    assert latency.usual(4 * MIB) == 4.0
    assert latency.usual(4096) == 1.0


def test_the_rate_is_that_of_busy_time() -> None:
    latency, now = Latency(), 0.0
    for _ in range(40):
        latency.begin(now, MIB)
        latency.begin(now, MIB)
        latency.end(now, MIB, now + 0.05, MIB)
        latency.end(now, MIB, now + 0.05, MIB)
        now += 10
    assert latency.rate == pytest.approx(2 * MIB / 0.05)
    assert latency.in_flight == 0


def test_reads_of_threads_count_too() -> None:
    latency = Latency()
    latency.came_elsewhere(MIB, 0.5)
    assert (latency.view().p50, latency.view().reads) == (0.5, 1)
    latency.note(MIB, 1.5)
    assert latency.view().p99 == 1.5


def test_while_nothing_is_known_a_read_may_take_a_while() -> None:
    found, peers = judged()
    assert peers.late(found[0], MIB) == UNKNOWN + MIB / SLOWEST


def test_late_is_measured_by_itself_and_by_its_peers() -> None:
    found, peers = judged()
    learn(peers, found[1:])
    assert peers.late(found[1], MIB) == pytest.approx(0.075)
    assert peers.late(found[0], MIB) == pytest.approx(0.075)
    for _ in range(4):
        peers.note(found[0], MIB, 1.0)
    assert peers.late(found[0], MIB) == pytest.approx(0.075)


def test_nothing_is_late_within_a_hiccup() -> None:
    found, peers = judged()
    learn(peers, found, 0.0001)
    assert peers.late(found[0], MIB) == SHORTEST


def test_where_all_wait_nothing_is_overdue() -> None:
    found, peers = judged()
    learn(peers, found)
    learn(peers, found[1:], 0.4, reads=8)
    assert peers.overdue(found[0], MIB, 0.0) > 0.5 > peers.late(found[0], MIB)
    assert not any(member.latency.demoted for member in found)


@pytest.mark.parametrize(("waiting", "overdue"), [(3, 0.075), (4, 0.6), (6, 0.6)])
def test_what_has_not_come_yet_from_most_peers_counts_too(waiting: int, overdue: float) -> None:
    found, peers = judged()
    learn(peers, found)
    for member in found[:waiting]:
        member.latency.begin(10.0, MIB)
    assert peers.overdue(found[0], MIB, 10.4) == pytest.approx(overdue)


def test_how_long_a_longer_read_waits_tells_nothing_of_a_short_one() -> None:
    latency = Latency()
    latency.note(MIB, 0.1)
    latency.begin(1.0, 8 * MIB)
    assert latency.lately(MIB, 5.0) == 0.1
    latency.begin(2.0, MIB)
    assert latency.lately(MIB, 5.0) == 3.0
    assert latency.lately(16 * MIB, 5.0) == 4.0
    latency.end(2.0, MIB, 5.0, 0)
    assert (latency.lately(MIB, 5.0), latency.in_flight) == (0.1, 1)


def test_one_that_is_slow_from_the_start_is_demoted() -> None:
    found, peers = judged()
    learn(peers, found[1:])
    learn(peers, found[:1], 1.0, reads=8)
    assert [member.latency.demoted for member in found] == [True] + 5 * [False]


def test_the_slower_of_two_is_demoted_and_the_other_not() -> None:
    found, peers = judged(2)
    for _ in range(20):
        peers.note(found[0], MIB, 0.05)
        peers.note(found[1], MIB, 1.0)
    assert [member.latency.demoted for member in found] == [False, True]


def test_reads_lost_one_after_the_other_demote_those_at_once_do_not() -> None:
    found, peers = judged()
    learn(peers, found)
    for _ in range(10):
        peers.given_up(found[0], MIB, 1.0, 2.0)
    peers.given_up(found[0], MIB, 2.0, 2.01)
    assert not found[0].latency.demoted
    for i in range(1, LOST):
        peers.given_up(found[0], MIB, float(i + 1), float(i + 2))
    assert found[0].latency.demoted
    assert found[0].latency.given_up == 10 + LOST - 1


def test_no_more_than_half_are_demoted() -> None:
    found, peers = judged()
    learn(peers, found)
    for i in range(LOST):
        for member in found:
            peers.given_up(member, MIB, 2.0 * i, 2.0 * i + 1)
    assert sum(member.latency.demoted for member in found) == 3


def test_without_probes_nobody_is_demoted() -> None:
    found, peers = judged()
    peers.judging = False
    learn(peers, found[1:])
    learn(peers, found[:1], 1.0)
    assert not found[0].latency.demoted


def test_one_that_is_well_again_is_promoted_by_its_probes() -> None:
    found, peers = judged()
    learn(peers, found[1:])
    learn(peers, found[:1], 1.0, reads=SLOW)
    assert peers.probe_due(found[0], 100.0)
    assert not peers.probe_due(found[0], 100.0)
    peers.note(found[0], MIB, 1.0)
    assert peers.probe_due(found[0], 100.0 + PROBE_FIRST)
    assert not peers.probe_due(found[0], 100.0 + 2 * PROBE_FIRST)
    peers.note(found[0], MIB, 0.06)
    peers.given_up(found[0], MIB, 110.0, 112.0)
    for _ in range(PROBES):
        assert found[0].latency.demoted
        peers.note(found[0], MIB, 0.06)
    assert not found[0].latency.demoted
    assert peers.late(found[0], MIB) == pytest.approx(0.075)
