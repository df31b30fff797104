"""Backends that threads leave alone for a while, since they are slow."""

import pytest

from modelfloat.cas.packs import bars as bars_module
from modelfloat.cas.packs.bars import BARRED, LONGEST, SLOW, Bars
from modelfloat.cas.packs.peers import JUDGED, SHORTEST
from modelfloat.ids import BackendId

MIB = 1 << 20
QUICK, LAME = 0.001, 0.06
PEERS = [BackendId(bytes([i] * 16)) for i in range(6)]
ONE = PEERS[0]


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock."""
    found = [1000.0]
    monkeypatch.setattr(bars_module.time, "monotonic", lambda: found[0])
    return found


@pytest.fixture
def bars(now: list[float]) -> Bars:
    """All are quick so far."""
    found = Bars(lambda backend: backend.hex()[:8])
    read(found, 20)
    return found


def read(bars: Bars, times: int, **slow: float) -> None:
    """Each backend is read so many times; `d0=0.5`: the first one takes half a second."""
    for _ in range(times):
        for number, backend in enumerate(PEERS):
            bars.note(backend, MIB, slow.get(f"d{number}", QUICK))


def barred(bars: Bars) -> list[BackendId]:
    return [backend for backend in PEERS if bars.barred(backend)]


def test_one_that_is_slower_than_its_peers_again_and_again_is_barred(bars: Bars) -> None:
    read(bars, 3, d0=LAME)
    assert not barred(bars)
    read(bars, JUDGED - 3, d0=LAME)
    assert barred(bars) == [ONE]


def test_one_long_read_is_enough(bars: Bars) -> None:
    read(bars, 1, d0=2 * SLOW)
    assert barred(bars) == [ONE]


def test_hiccups_bar_nobody(bars: Bars) -> None:
    for _ in range(50):
        read(bars, 1, d0=LAME)
        read(bars, 1)
        read(bars, 50, d1=SHORTEST)
    assert not barred(bars)


def test_where_all_have_become_slower_nobody_is_barred(bars: Bars) -> None:
    every = {f"d{number}": LAME for number in range(6)}
    read(bars, 100, **every)
    assert not barred(bars)


def test_the_slower_of_two_is_barred(now: list[float]) -> None:
    bars = Bars(str)
    for _ in range(JUDGED + 1):
        bars.note(PEERS[1], MIB, QUICK)
        bars.note(ONE, MIB, LAME)
    assert barred(bars) == [ONE]


def test_alone_it_is_slow_by_no_measure_but_the_longest(now: list[float]) -> None:
    bars = Bars(str)
    for _ in range(100):
        bars.note(ONE, MIB, LAME)
    assert not barred(bars)


def test_when_its_time_is_over_one_slow_read_bars_it_for_longer(
    bars: Bars, now: list[float]
) -> None:
    read(bars, JUDGED, d0=LAME)
    pause = BARRED
    for _ in range(20):
        assert barred(bars) == [ONE]
        now[0] += pause
        assert not barred(bars)
        bars.note(ONE, MIB, LAME)
        pause = min(2 * pause, LONGEST)
    now[0] += LONGEST
    bars.note(ONE, MIB, QUICK)
    bars.note(ONE, MIB, LAME)
    assert not barred(bars)


def test_threads_that_wait_at_once_bar_it_once(bars: Bars, now: list[float]) -> None:
    for _ in range(8):
        bars.bar(ONE)
    now[0] += BARRED
    assert not barred(bars)
