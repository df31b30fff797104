"""Limits and deadlines, on a clock that jumps."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends import limit
from modelfloat.backends.base import Listed
from modelfloat.backends.faulty import FaultyBackend
from modelfloat.backends.keys import check_key
from modelfloat.backends.limit import LimitBackend, Limits
from modelfloat.backends.local import LocalBackend
from modelfloat.backends.memory import MemoryBackend
from modelfloat.backends.retry import RetryBackend, RetryPolicy
from modelfloat.errors import UnavailableError
from modelfloat.ids import Key

KEY = check_key("k")


async def _listed(backend: LimitBackend) -> list[Listed]:
    return [each async for each in backend.list()]


CALLS: dict[str, Callable[[LimitBackend], Awaitable[object]]] = {
    "put": lambda backend: backend.put(KEY, [b"x"]),
    "get": lambda backend: backend.get(KEY, 0, 1),
    "get all": lambda backend: backend.get(KEY),
    "get_into": lambda backend: backend.get_into(KEY, 0, memoryview(bytearray(1))),
    "head": lambda backend: backend.head(KEY),
    "delete": lambda backend: backend.delete(KEY),
    "list": lambda backend: _listed(backend),
    "usage": lambda backend: backend.usage(),
}


@pytest.fixture
def faulty() -> FaultyBackend:
    return FaultyBackend(MemoryBackend("d0"))


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_that_hangs_is_unavailable(
    faulty: FaultyBackend,
    call: Callable[[LimitBackend], Awaitable[object]],
    autojump_clock: MockClock,
) -> None:
    await faulty.put(KEY, [b"x"])
    fault = faulty.inject("hang")
    with pytest.raises(UnavailableError, match=r"backend d0: .* longer than 7 s"):
        await call(LimitBackend(faulty, Limits(seconds=7)))
    assert fault.struck == 1
    faulty.clear()
    await call(LimitBackend(faulty, Limits(seconds=7)))


async def test_big_values_have_more_time(faulty: FaultyBackend, autojump_clock: MockClock) -> None:
    faulty.inject("slow", seconds=15)
    backend = LimitBackend(faulty, Limits(seconds=10, slowest=1000))
    with pytest.raises(UnavailableError):
        await backend.put(KEY, [b"x" * 4000])
    await backend.put(KEY, [b"x" * 4000, memoryview(b"y" * 2000)])
    with pytest.raises(UnavailableError):
        await backend.get(KEY, 0, 4000)
    assert len(await backend.get(KEY, 0, 6000)) == 6000


async def test_a_small_value_comes_in_one_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is replaced between two questions would look cut off."""
    asked: list[str] = []

    class Noting(LocalBackend):
        async def head(self, key: Key) -> int:
            asked.append("head")
            return await super().head(key)

        async def get(
            self, key: Key, offset: int = 0, size: int | None = None, most: int | None = None
        ) -> bytes:
            asked.append("get")
            return await super().get(key, offset, size, most)

    async def got(offset: int, most: int) -> tuple[bytes, list[str]]:
        asked.clear()
        return await backend.get(KEY, offset, most=most), list(asked)

    monkeypatch.setattr(limit, "SMALL", 4)
    backend = LimitBackend(Noting("d0", str(tmp_path)))
    await backend.put(KEY, [b"0123456789"])
    assert await got(0, 3) == (b"0123", ["get"])
    assert await got(0, 4) == (b"01234", ["get"])
    assert await got(6, 99) == (b"6789", ["get"])
    # Of what is longer the rest comes once its length is known.
    assert await got(0, 6) == (b"0123456", ["get", "head", "get"])
    assert await got(0, 99) == (b"0123456789", ["get", "head", "get"])


async def test_a_small_value_is_not_waited_for_as_a_large_one(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    faulty.inject("hang")
    with pytest.raises(UnavailableError, match="longer than 23 s"):
        await LimitBackend(faulty, Limits(seconds=7)).get(KEY, most=1 << 30)


async def test_so_many_calls_at_once(faulty: FaultyBackend, autojump_clock: MockClock) -> None:
    running = most = 0

    class Gauge(MemoryBackend):
        async def head(self, key):  # type: ignore[no-untyped-def]
            nonlocal running, most
            running += 1
            most = max(most, running)
            await trio.sleep(1)
            running -= 1
            return 0

    backend = LimitBackend(Gauge("d0"), Limits(concurrency=3))
    assert backend.properties.concurrency == 3
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(backend.head, KEY)
    assert most == 3


async def test_waiting_for_a_slot_does_not_count(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    await faulty.put(KEY, [b"x"])
    faulty.inject("slow", seconds=8)
    backend = LimitBackend(faulty, Limits(concurrency=1, seconds=10))
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(backend.head, KEY)
    assert trio.current_time() == 40


async def test_one_hung_backend_leaves_the_others_alone(autojump_clock: MockClock) -> None:
    hung = FaultyBackend(MemoryBackend("d0"))
    hung.inject("hang")
    first, second = LimitBackend(hung), LimitBackend(MemoryBackend("d1"))
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(first.put, KEY, [b"x"])
        await second.put(KEY, [b"x"])
        assert await second.get(KEY) == b"x"
        nursery.cancel_scope.cancel()
    assert trio.current_time() == 0


async def test_retry_round_limit_gives_each_try_its_own_deadline(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    await faulty.put(KEY, [b"x"])
    fault = faulty.inject("hang", times=2)
    backend = RetryBackend(LimitBackend(faulty, Limits(seconds=3)), RetryPolicy(first=0.1))
    assert await backend.get(KEY, 0, 1) == b"x"
    assert fault.struck == 2
