"""Leases on one backend: taken by one at a time, renewed, given back, taken over when they end."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.base import Backend, Buffer
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import lease_key
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.formats.presence import decode_presence
from modelfloat.cas.lease.lease import (
    KEPT,
    MARGIN,
    POLL,
    RENEWALS,
    TERM,
    TOGETHER,
    Lease,
    Leases,
)
from modelfloat.cas.lease.queue import LARGEST, look
from modelfloat.errors import FormatError, LeaseLostError, LockedError
from modelfloat.ids import Key, SiteId
from modelfloat.tests.support.late import TAKES, LateBackend
from modelfloat.tests.support.samples import STORE
from modelfloat.tests.support.sluggish import SluggishBackend


class AheadBackend(FaultyBackend):
    """Its clock can be set: what was written before is older then."""

    def __init__(self, inner: MemoryBackend) -> None:
        super().__init__(inner)
        self._ahead = 0.0
        self._written: dict[str, float] = {}

    def set_ahead(self, seconds: float) -> None:
        self._ahead += seconds

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        await super().put(key, parts, if_absent=if_absent)
        self._written[key] = self._ahead

    async def age(self, key: Key) -> float:
        return await super().age(key) + self._ahead - self._written[key]


def leases(home: Backend, site: int, name: str = "store") -> Leases:
    """The lease as one of several sites takes it."""
    return Leases(home, STORE, SiteId(bytes([site]) * 16), name, trio.current_time)


async def last_of(home: Backend) -> int:
    """The highest number of the lease."""
    return (await look(home, "store")).last


async def abandoned(taken: Leases) -> Lease:
    """A lease whose holder died at once: nobody renews it or gives it back."""
    lease = await taken._acquire(wait=True)
    lease.require()
    return lease


async def test_one_at_a_time(autojump_clock: MockClock) -> None:
    home, at_work, most = MemoryBackend("home"), 0, 0

    async def work(site: int) -> None:
        nonlocal at_work, most
        for _ in range(3):
            async with leases(home, site).held() as lease:
                at_work += 1
                most = max(most, at_work)
                await trio.sleep(3 * TERM)
                lease.require()
                at_work -= 1

    async with trio.open_nursery() as nursery:
        for site in range(4):
            nursery.start_soon(work, site)
    assert most == 1


async def test_a_renewal_that_is_on_its_way_at_the_end_holds_it_for_nobody(
    autojump_clock: MockClock,
) -> None:
    home = MemoryBackend("home")
    async with trio.open_nursery() as server:
        late = LateBackend(home, server)
        async with leases(late, 1).held():
            await trio.sleep(TERM / RENEWALS + TAKES / 2)
            late.takes = 0
        await trio.sleep(3 * TAKES)
        record = decode_presence(await home.get(lease_key("store", 1)), "the lease")
        assert not record.held


async def test_who_does_not_want_to_wait_is_told_who_has_it(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    async with leases(home, 0x51).held():
        with pytest.raises(
            LockedError, match="held by the site 51515151, which shares the backend"
        ):
            async with leases(home, 0x52).held(wait=False):
                pass
        async with leases(home, 0x52, "refs").held(wait=False):
            pass
    async with leases(home, 0x52).held(wait=False) as lease:
        lease.require()


async def test_a_dead_holders_lease_is_taken_over_only_when_it_ended(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    home = MemoryBackend("home")
    dead, begun = await abandoned(leases(home, 1)), trio.current_time()
    with caplog.at_level(logging.WARNING):
        async with leases(home, 2).held() as lease:
            assert trio.current_time() - begun >= TERM + MARGIN
            lease.require()
            with pytest.raises(LeaseLostError, match="run it again"):
                dead.require()
    assert "waiting for the store lease: held by the site 01010101" in caplog.text
    caplog.clear()


class AskedBackend(FaultyBackend):
    """Notes when it is asked for an age."""

    def __init__(self, inner: MemoryBackend) -> None:
        super().__init__(inner)
        self.asked: list[float] = []

    async def age(self, key: Key) -> float:
        self.asked.append(trio.current_time())
        return await super().age(key)


async def test_a_lease_that_is_held_for_a_moment_is_taken_over_too(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    home = AskedBackend(MemoryBackend("home"))
    begun = trio.current_time()
    await abandoned(leases(home, 1))
    async with replace(leases(home, 2), poll=0.2).held() as lease:
        assert trio.current_time() - begun >= TERM + MARGIN
        lease.require()
    assert "waiting for the store lease" in caplog.text
    caplog.clear()
    # How long it lies there is not asked each time, and not at all in the first moments.
    assert home.asked[0] - begun >= POLL
    assert len(home.asked) <= 2 * (TERM + MARGIN) / POLL + 2


async def test_what_a_crash_here_left_is_taken_over_at_once(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    await abandoned(leases(home, 1))
    begun = trio.current_time()
    async with leases(home, 1).held(wait=False):
        assert trio.current_time() - begun < 1


@pytest.mark.parametrize("skew", [-50_000.0, 0.0, 50_000.0])
async def test_the_clock_of_who_asks_decides_nothing(
    autojump_clock: MockClock, skew: float
) -> None:
    """Ages are told wrong by half a day: the lease neither ends early nor lasts for ever."""
    home = MemoryBackend("home")
    await trio.sleep(80_000)
    asker = leases(SluggishBackend(home, 0, skew, 1), 2)
    async with leases(home, 1).held():
        with trio.move_on_after(20 * TERM) as patience:
            async with asker.held():
                pass
        assert patience.cancelled_caught
    if skew >= 0:
        await abandoned(leases(home, 1))
        begun = trio.current_time()
        async with asker.held():
            assert TERM + MARGIN <= trio.current_time() - begun < TERM + MARGIN + 10


@pytest.mark.parametrize("moment", [0.0, 7.0, 22.0])
async def test_a_home_whose_clock_is_set_ends_no_lease(
    autojump_clock: MockClock, moment: float
) -> None:
    """Set an hour ahead, it tells of a record that was written just now that it is an hour old."""
    home = AheadBackend(MemoryBackend("home"))
    async with leases(home, 1).held() as holder:
        with trio.move_on_after(3 * TERM):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(leases(home, 2)._acquire, True)
                await trio.sleep(TERM + moment)
                home.set_ahead(3600)
        holder.require()
        assert await last_of(home) == 1


async def test_how_long_one_holding_was_silent_ends_no_other(autojump_clock: MockClock) -> None:
    """A holder died, another one took its lease, and the home's clock was set just then."""
    home = AheadBackend(MemoryBackend("home"))
    await abandoned(leases(home, 1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leases(home, 2)._acquire, True)
        await trio.sleep(TERM + MARGIN - 1)
        holder = await leases(home, 3)._take(2)
        assert holder is not None
        nursery.start_soon(holder.keep)
        home.set_ahead(3600)
        await trio.sleep(TERM)
        holder.require()
        assert await last_of(home) == 2
        nursery.cancel_scope.cancel()


async def test_who_cannot_renew_stops_before_another_begins(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    faulty, events = FaultyBackend(home), list[str]()

    async def cut_off() -> None:
        async with leases(faulty, 1).held() as lease:
            faulty.inject("unavailable")
            with contextlib.suppress(LeaseLostError):
                while True:
                    lease.require()
                    await trio.sleep(1)
            events.append("stopped")

    async def other() -> None:
        await trio.sleep(1)
        async with leases(home, 2).held():
            events.append("begun")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut_off)
        nursery.start_soon(other)
    assert events == ["stopped", "begun"]


async def test_a_number_that_is_free_only_since_it_was_cleared_away_wins_nothing(
    autojump_clock: MockClock,
) -> None:
    """Who looked, slept for long, and writes the number that was next then, has nothing."""
    home = MemoryBackend("home")
    for _ in range(KEPT + 3):
        async with leases(home, 1).held():
            pass
    async with leases(home, 1).held() as holder:
        assert await leases(home, 2)._take(2) is None
        assert await last_of(home) == KEPT + 4
        assert KEPT <= len(await leases(home, 2)._numbers()) < KEPT + TOGETHER
        holder.require()


async def test_a_repeated_write_is_known_as_its_own(autojump_clock: MockClock) -> None:
    class Forgetful(FaultyBackend):
        """Writes, and says that it was not there."""

        async def put(self, key: object, parts: object, *, if_absent: bool = False) -> None:
            await super().put(key, parts, if_absent=if_absent)  # type: ignore[arg-type]
            if if_absent:
                self.inject("unavailable", on=["put"], times=1)
                await super().put(key, parts)  # type: ignore[arg-type]

    async with leases(Forgetful(MemoryBackend("home")), 1).held(wait=False) as lease:
        lease.require()


async def test_a_damaged_record_lasts_its_term_and_no_longer(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    await home.put(lease_key("store", 5), [b"rotten"])
    begun = trio.current_time()
    async with leases(home, 1).held():
        assert trio.current_time() - begun >= TERM + MARGIN
        record = decode_presence(await home.get(lease_key("store", 6)), "6")
        assert (record.number, record.held) == (6, True)
    record = decode_presence(await home.get(lease_key("store", 6)), "6")
    assert not record.held


async def test_a_newer_releases_lease_is_not_taken(autojump_clock: MockClock) -> None:
    from blake3 import blake3

    home = MemoryBackend("home")
    await abandoned(leases(home, 1))
    data = bytearray(await home.get(lease_key("store", 1)))[:-32]
    data[8] = 2
    await home.put(lease_key("store", 1), [data, blake3(data).digest()])
    with pytest.raises(FormatError, match="upgrade"):
        await leases(home, 2)._acquire(wait=True)


async def test_a_lease_that_is_lost_is_not_given_back(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    lost = await abandoned(leases(home, 1))
    async with leases(home, 2).held():
        await lost.give_back()
        record = decode_presence(await home.get(lease_key("store", 1)), "1")
        assert record == replace(record, held=True)


async def test_a_number_that_no_lease_can_have_is_nobodys(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    await home.put(lease_key("store", LARGEST + 1), [b"odd"])
    async with leases(home, 1).held() as lease:
        lease.require()


async def test_a_number_without_a_next_is_told(autojump_clock: MockClock) -> None:
    home = MemoryBackend("home")
    await abandoned(leases(home, 1))
    await home.put(lease_key("store", LARGEST), [b"odd"])
    with pytest.raises(FormatError, match="leaves no number for the next lease"):
        await abandoned(leases(home, 2))
