"""A provider's rate kept, on a clock that jumps."""

import logging
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends import waiting
from modelfloat.backends.base import Backend, Buffer, Listed
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import MARKER_KEY, journal_key, session_key, shard_key
from modelfloat.backends.limit import LimitBackend, Limits
from modelfloat.backends.memory import MemoryBackend
from modelfloat.backends.rated import PAGE, RateBackend, allow
from modelfloat.backends.rates.keeper import OwnKeeper
from modelfloat.backends.registry import open_backend
from modelfloat.backends.retry import RetryBackend, RetryPolicy
from modelfloat.errors import QuotaError, UnavailableError
from modelfloat.ids import Key, PackId, WriterId
from modelfloat.rate import Rate

SHARD = shard_key(PackId(bytes(16)), 0, 4, 2)
OTHER = shard_key(PackId(bytes(16)), 1, 4, 2)
RECORD = journal_key(WriterId(bytes(16)), 1, 0)
URGENT = [MARKER_KEY, session_key(WriterId(bytes(16)))]
SLOW = Rate(0.1, 2)
"""One request in ten seconds, two at once."""


class Timed(MemoryBackend):
    """A backend in memory that notes when it was called."""

    def __init__(self) -> None:
        super().__init__("d0")
        self.calls: list[tuple[str, float]] = []

    def _note(self, what: str) -> None:
        self.calls.append((what, trio.current_time() - self.began))

    began = 0.0

    def begin(self) -> None:
        """From now on."""
        self.began = trio.current_time()

    async def put(self, key: Key, parts: Sequence[Buffer], *, if_absent: bool = False) -> None:
        """See `Backend.put`."""
        self._note("put")
        await super().put(key, parts, if_absent=if_absent)

    async def get(
        self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
    ) -> bytes:
        """See `Backend.get`."""
        self._note("get")
        return await super().get(key, offset, size, most)

    async def delete(self, key: Key) -> None:
        """See `Backend.delete`."""
        self._note("delete")
        await super().delete(key)

    async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
        """See `Backend.list`."""
        for number in range(2 * PAGE + 1):
            if number % PAGE == 0:
                self._note("page")
            yield Listed(Key(f"{prefix}{number}"), 1)

    def when(self, what: str) -> Sequence[float]:
        """When it was called like that."""
        return [round(at, 3) for name, at in self.calls if name == what]


@pytest.fixture
async def timed() -> Timed:
    backend = Timed()
    for key in (SHARD, RECORD, *URGENT):
        await MemoryBackend.put(backend, key, [b"x"])
    backend.begin()
    return backend


async def test_reads_wait_for_their_turn(timed: Timed, autojump_clock: MockClock) -> None:
    backend = RateBackend(timed, SLOW)
    for _ in range(4):
        await backend.get(SHARD)
    assert timed.when("get") == [0, 0, 10, 20]


async def test_a_read_does_not_wait_behind_uploads(timed: Timed, autojump_clock: MockClock) -> None:
    backend = RateBackend(timed, SLOW)
    async with trio.open_nursery() as nursery:
        for number in range(6):
            key = shard_key(PackId(bytes(16)), number, 4, 2)
            nursery.start_soon(backend.put, key, [b"x"])
        await trio.sleep(25)
        await backend.get(SHARD)
        # The next of six puts had its turn taken; the read comes right after.
        assert timed.when("get")[0] <= 40
        assert len(timed.when("put")) <= 4
    assert len(timed.when("put")) == 6


async def test_records_and_deletes_go_at_once_and_are_paid_for_afterwards(
    timed: Timed, autojump_clock: MockClock
) -> None:
    """They may be sent under a lease that others take when it has not been renewed for a while."""
    backend = RateBackend(timed, SLOW)
    for _ in range(3):
        await backend.delete(OTHER)
        await backend.put(RECORD, [b"x"])
    assert timed.when("delete")[0] == timed.when("put")[0] == 0
    assert trio.current_time() - timed.began == 50
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(backend.delete, OTHER)
    assert timed.when("delete")[3:] == [50] * 5
    assert trio.current_time() - timed.began == 100


@pytest.mark.parametrize("key", URGENT)
async def test_what_is_urgent_never_waits_but_counts(
    timed: Timed, key: Key, autojump_clock: MockClock
) -> None:
    backend = RateBackend(timed, SLOW)
    for _ in range(5):
        await backend.get(key)
        await backend.put(key, [b"x"])
        await backend.usage()
    assert trio.current_time() == timed.began
    await backend.get(SHARD)
    assert trio.current_time() - timed.began == 140


async def test_a_listing_waits_for_each_of_its_pages(
    timed: Timed, autojump_clock: MockClock
) -> None:
    backend = RateBackend(timed, SLOW)
    assert len([each async for each in backend.list()]) == 2 * PAGE + 1
    assert timed.when("page") == [0, 0, 10]


async def test_what_waits_has_no_slot_and_no_deadline(
    timed: Timed, autojump_clock: MockClock
) -> None:
    backend = RateBackend(LimitBackend(timed, Limits(concurrency=1, seconds=5)), SLOW)
    with waiting.counted() as outer, waiting.counted() as waited:
        for _ in range(4):
            await backend.get(SHARD)
    assert waited.seconds == outer.seconds == 20


async def test_waiting_costs_no_tries(autojump_clock: MockClock) -> None:
    """A try that waited longer than all tries may take is followed by another one."""
    faulty = FaultyBackend(MemoryBackend("d0"))
    backend = RateBackend(faulty, Rate(0.01))
    await backend.put(SHARD, [b"x"])
    faulty.inject("unavailable", on=["get"], times=2)
    repeated = RetryBackend(backend, RetryPolicy(tries=3, deadline=30))
    assert await repeated.get(SHARD) == b"x"


async def test_what_fails_is_paid_for_and_nobody_waits(
    timed: Timed, autojump_clock: MockClock
) -> None:
    faulty = FaultyBackend(timed)
    backend = RateBackend(faulty, SLOW)
    faulty.inject("unavailable", on=["delete"])
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await backend.delete(OTHER)
    assert trio.current_time() == timed.began
    await backend.get(SHARD)
    assert trio.current_time() - timed.began == 20


async def test_who_is_cancelled_gives_the_turn_back(
    timed: Timed, autojump_clock: MockClock
) -> None:
    backend = RateBackend(timed, SLOW)
    for _ in range(2):
        await backend.get(SHARD)
    for _ in range(5):
        with trio.move_on_after(0.1) as scope:
            await backend.get(SHARD)
        assert scope.cancelled_caught
    await backend.get(SHARD)
    assert timed.when("get") == [0, 0, 10]


async def test_backends_of_one_account_have_one_allowance(
    timed: Timed, autojump_clock: MockClock
) -> None:
    keeper = OwnKeeper()
    first, second = RateBackend(timed, SLOW, keeper), RateBackend(timed, SLOW, keeper)
    for backend in (first, second) * 2:
        await backend.get(SHARD)
    assert timed.when("get") == [0, 0, 10, 20]


async def test_a_rate_may_be_changed_while_it_is_kept(
    timed: Timed, autojump_clock: MockClock
) -> None:
    backend = RateBackend(timed, SLOW)
    for _ in range(2):
        await backend.get(SHARD)
    allow(backend, Rate(1.0))
    assert backend.properties.rate == Rate(1.0)
    await backend.get(SHARD)
    allow(backend, None)
    assert backend.properties.rate is None
    await backend.get(SHARD)
    assert timed.when("get") == [0, 0, 2, 2]
    allow(timed, SLOW)  # one that keeps to none


async def test_a_day_has_so_many_bytes(
    timed: Timed, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Shards get what is left; records, which are small and needed, are let through."""
    monkeypatch.setattr("modelfloat.backends.rates.keeper.time.time", lambda: now)
    now = 500_000 * 3600.0
    backend = RateBackend(timed, Rate(daily=100))
    await backend.put(SHARD, [bytes(60), bytes(30)])
    with pytest.raises(QuotaError, match=r"rate of 100B/day; it takes shards again"):
        await backend.put(OTHER, [bytes(11)])
    await backend.put(OTHER, [bytes(10)])
    await backend.put(RECORD, [bytes(50)])
    with pytest.raises(QuotaError):
        await backend.put(OTHER, [b"x"])
    now += 24 * 3600
    await backend.put(OTHER, [bytes(11)])


async def test_who_waits_long_says_so_once(
    timed: Timed, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    backend = RateBackend(timed, SLOW)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            await backend.get(SHARD)
    assert caplog.messages == ["backend d0: calls wait, for its rate is 6/min:2"]


def test_the_registry_keeps_to_the_rate_that_is_set(tmp_path: Path) -> None:
    def rate_of(backend: Backend) -> Rate | None:
        return backend.properties.rate

    asked: list[str] = []

    def keeper(account: str) -> OwnKeeper:
        asked.append(account)
        return OwnKeeper()

    path = str(tmp_path)
    assert rate_of(open_backend("d0", path, keeper=keeper)) is None
    assert not asked
    assert rate_of(open_backend("d0", path, rate="5/s:9", keeper=keeper)) == Rate(5.0, 9)
    assert asked == [""]
    assert rate_of(open_backend("d0", path, rate="none")) is None
    with pytest.raises(ValueError, match="is none of"):
        open_backend("d0", path, rate="fast")
