"""Who waits for a lease that is held for a moment only comes in the order of asking."""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.base import Backend, Buffer, Listed
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import lease_key
from modelfloat.backends.memory import MemoryBackend
from modelfloat.cas.lease.lease import Leases
from modelfloat.cas.lease.queue import LARGEST, STALL, TURNS, look
from modelfloat.errors import KeyExistsError
from modelfloat.ids import Key, SiteId
from modelfloat.tests.support.samples import STORE

POLL = 0.1
HELD = 0.7


def brief(home: Backend, site: int) -> Leases:
    """The lease on the refs, as one of several sites takes it."""
    return Leases(home, STORE, SiteId(bytes([site]) * 16), "refs", trio.current_time, poll=POLL)


class Counted(FaultyBackend):
    """Counts how often it is asked what."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.calls: Counter[str] = Counter()

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        self.calls["get"] += 1
        return await super().get(key, offset, size, most)

    def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        self.calls["list"] += 1
        return super().list(prefix)


class Beaten(FaultyBackend):
    """Another takes the first number in the queue that is asked for, and gives it back at once."""

    beaten = False

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        if key.startswith(f"lease/{TURNS}/") and not self.beaten:
            self.beaten = True
            raise KeyExistsError(f"{key} is there already", key=key)
        await super().put(key, parts, if_absent=if_absent)


async def holding(home: Backend, site: int, order: list[int], seconds: float = HELD) -> None:
    """Have the lease for a moment."""
    async with brief(home, site).held():
        order.append(site)
        await trio.sleep(seconds)


async def test_turns_come_in_the_order_of_asking(autojump_clock: MockClock) -> None:
    home, order = MemoryBackend("home"), list[int]()
    async with trio.open_nursery() as nursery:
        for site in range(1, 9):
            nursery.start_soon(holding, home, site, order)
            await trio.sleep(POLL / 2)
        # Who comes again waits behind all others.
        await trio.sleep(HELD)
        nursery.start_soon(holding, home, 1, order)
    assert order == [*range(1, 9), 1]
    assert (await look(home, "refs")).turns == ()


async def test_who_waits_asks_little(autojump_clock: MockClock) -> None:
    home, order = Counted(MemoryBackend("home")), list[int]()
    async with trio.open_nursery() as nursery:
        for site in range(1, 9):
            nursery.start_soon(holding, home, site, order)
            await trio.sleep(POLL / 2)
    assert len(order) == 8
    # One is next, and looks at one key; the others list the queue the less often, the longer it is.
    waited = 7 * 8 / 2 * HELD
    assert home.calls["list"] < 8 * 4 + waited / (2 * POLL) / 2
    assert home.calls["get"] < 8 * 4 + 7 * HELD / POLL * 1.5


async def test_who_waits_no_longer_is_in_nobodys_way(autojump_clock: MockClock) -> None:
    home, order = MemoryBackend("home"), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holding, home, 1, order, 3.0)
        await trio.sleep(POLL)
        with trio.move_on_after(1.0):
            await holding(home, 2, order)
        assert (await look(home, "refs")).turns == ()
        nursery.start_soon(holding, home, 3, order)
    assert order == [1, 3]


async def test_a_number_that_is_given_back_as_it_is_looked_at_was_anothers(
    autojump_clock: MockClock,
) -> None:
    """Else who came second went on without the lease, and left two heads."""
    home, order = Beaten(MemoryBackend("home")), list[int]()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(holding, home, 1, order)
        await trio.sleep(POLL)
        nursery.start_soon(holding, home, 2, order)
    assert home.beaten
    assert order == [1, 2]


async def test_who_died_in_the_queue_is_passed_by(autojump_clock: MockClock) -> None:
    home, order = MemoryBackend("home"), list[int]()
    await home.put(lease_key(TURNS, 4), [b"somebody's"])
    began = trio.current_time()
    await holding(home, 1, order)
    assert STALL <= trio.current_time() - began < 2 * STALL
    began = trio.current_time()
    await holding(home, 2, order)
    assert trio.current_time() - began < STALL
    assert order == [1, 2]


async def test_numbers_that_nobody_has_do_not_hold_up_for_ever(autojump_clock: MockClock) -> None:
    home, order = MemoryBackend("home"), list[int]()
    for number in (*range(1, 40), LARGEST, LARGEST + 7):
        await home.put(lease_key(TURNS, number), [b"made up"])
    with trio.fail_after(60):
        await holding(home, 1, order)


async def test_who_knows_of_no_queue_only_comes_before_others(autojump_clock: MockClock) -> None:
    """As an earlier release does, which looks at the lease alone."""
    home, at_work, done = MemoryBackend("home"), 0, 0

    async def work(site: int) -> None:
        nonlocal at_work, done
        asked = brief(home, site) if site % 2 else replace(brief(home, site), poll=POLL * 100)
        for _ in range(3):
            async with asked.held():
                at_work += 1
                assert at_work == 1
                await trio.sleep(HELD)
                at_work, done = at_work - 1, done + 1

    async with trio.open_nursery() as nursery:
        for site in range(6):
            nursery.start_soon(work, site)
    assert done == 18


async def test_a_dead_holder_is_waited_out_by_all_of_the_queue(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    home, order = MemoryBackend("home"), list[int]()
    await brief(home, 9)._acquire(wait=True)
    async with trio.open_nursery() as nursery:
        for site in range(1, 5):
            nursery.start_soon(holding, home, site, order)
            await trio.sleep(POLL / 2)
    assert sorted(order) == [1, 2, 3, 4]
    assert "waiting for the refs lease" in caplog.text
    caplog.clear()
