"""How long the disk of the cache is left alone: longer each time, and anew once it was well."""

from types import SimpleNamespace

import pytest

from modelfloat.cas.cache import pause as module
from modelfloat.cas.cache.pause import FIRST, LONGEST, SOON, Pause


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time, in seconds: `now`."""
    clock = SimpleNamespace(now=1e6)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def lengths(pause: Pause, clock: SimpleNamespace, count: int, well: float) -> list[float]:
    """How long so many pauses are, each begun that many seconds after the last one's end."""
    found = []
    for _ in range(count):
        assert not pause.on
        assert pause.begin()
        begun = clock.now
        while pause.on:
            assert not pause.begin()
            clock.now += 1.0
        found.append(clock.now - begun)
        clock.now += well
    return found


def test_a_disk_that_hangs_for_ever_is_asked_less_and_less(clock: SimpleNamespace) -> None:
    found = lengths(Pause(), clock, 12, 20.0)
    assert found[:4] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert found[-2:] == [LONGEST, LONGEST]


def test_a_disk_that_was_well_begins_anew(clock: SimpleNamespace) -> None:
    pause = Pause()
    assert lengths(pause, clock, 3, 20.0)[-1] == 4 * FIRST
    clock.now += 4 * FIRST * SOON
    assert lengths(pause, clock, 1, 0.0) == [FIRST]
