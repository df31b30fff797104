"""Retries, on a clock that jumps."""

from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.base import Backend, Listed
from modelfloat.backends.faulty import FaultyBackend, Name, Operation
from modelfloat.backends.keys import check_key
from modelfloat.backends.memory import MemoryBackend
from modelfloat.backends.retry import RetryBackend, RetryPolicy
from modelfloat.errors import KeyExistsError, ModelFloatError, UnavailableError
from modelfloat.ids import Key

KEY = check_key("k")
POLICY = RetryPolicy(tries=4, first=1.0, cap=3.0, deadline=60.0)


@pytest.fixture
def faulty() -> FaultyBackend:
    return FaultyBackend(MemoryBackend("d0"))


CALLS: dict[Operation, Callable[[Backend], Awaitable[object]]] = {
    "put": lambda backend: backend.put(KEY, [b"new"]),
    "get": lambda backend: backend.get(KEY, 0, 1),
    "head": lambda backend: backend.head(KEY),
    "delete": lambda backend: backend.delete(KEY),
    "list": lambda backend: _listed(backend),
    "usage": lambda backend: backend.usage(),
}


async def _listed(backend: Backend) -> list[Key]:
    return [each.key async for each in backend.list()]


@pytest.mark.parametrize("operation", CALLS)
async def test_every_call_is_repeated(
    faulty: FaultyBackend, operation: Operation, autojump_clock: MockClock
) -> None:
    await faulty.put(KEY, [b"value"])
    fault = faulty.inject("unavailable", on=[operation], times=3)
    await CALLS[operation](RetryBackend(faulty, POLICY))
    assert fault.struck == 3


async def test_a_buffer_is_filled_again(faulty: FaultyBackend, autojump_clock: MockClock) -> None:
    await faulty.put(KEY, [b"value"])
    faulty.inject("unavailable", on=["get"], times=3)
    out = bytearray(5)
    await RetryBackend(faulty, POLICY).get_into(KEY, 0, memoryview(out))
    assert out == b"value"


async def test_gives_up_with_the_last_error(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    fault = faulty.inject("unavailable")
    with pytest.raises(UnavailableError, match="d0"):
        await RetryBackend(faulty, POLICY).head(KEY)
    assert fault.struck == POLICY.tries


@pytest.mark.parametrize("name", ["not_found", "denied", "short_read"])
async def test_nothing_else_is_repeated(
    faulty: FaultyBackend, name: Name, autojump_clock: MockClock
) -> None:
    await faulty.put(KEY, [b"value"])
    fault = faulty.inject(name, on=["get"])
    with pytest.raises(ModelFloatError):
        await RetryBackend(faulty, POLICY).get(KEY, 0, 5)
    assert fault.struck == 1


async def test_waits_grow_up_to_the_cap_and_are_jittered(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    assert [POLICY.wait(tried) for tried in (1, 2, 3, 4, 5000)] == [1.0, 2.0, 3.0, 3.0, 3.0]
    faulty.inject("unavailable")
    waited = set()
    for _ in range(20):
        began = trio.current_time()
        with pytest.raises(UnavailableError):
            await RetryBackend(faulty, POLICY).head(KEY)
        waited.add(trio.current_time() - began)
    assert all(3.0 <= each <= 6.0 for each in waited)
    assert len(waited) > 1


async def test_no_try_begins_after_the_deadline(
    faulty: FaultyBackend, autojump_clock: MockClock
) -> None:
    fault = faulty.inject("unavailable")
    policy = RetryPolicy(tries=1000, first=1.0, cap=1.0, deadline=10.0)
    with pytest.raises(UnavailableError):
        await RetryBackend(faulty, policy).head(KEY)
    assert 10 <= fault.struck <= 21
    assert trio.current_time() <= 10.0


async def test_a_listing_is_not_repeated_once_it_began(autojump_clock: MockClock) -> None:
    found = []

    class Breaks(MemoryBackend):
        async def list(self, prefix: str = "") -> AsyncGenerator[Listed, None]:
            yield Listed(KEY, 1)
            raise UnavailableError("gone in the middle")

    async def read() -> None:
        async for each in RetryBackend(Breaks("d0"), POLICY).list():
            found.append(each.key)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(UnavailableError, match="middle"):
        await read()
    assert found == [KEY]


async def test_a_repeated_conditional_put_claims_no_win(autojump_clock: MockClock) -> None:
    class AnswersLate(MemoryBackend):
        async def put(self, key, parts, *, if_absent=False):  # type: ignore[no-untyped-def]
            await super().put(key, parts, if_absent=if_absent)
            raise UnavailableError("the answer was lost")

    with pytest.raises(KeyExistsError):
        await RetryBackend(AnswersLate("d0"), POLICY).put(KEY, [b"x"], if_absent=True)


async def test_tries_do_not_multiply(faulty: FaultyBackend, autojump_clock: MockClock) -> None:
    fault = faulty.inject("unavailable")
    with pytest.raises(UnavailableError):
        await RetryBackend(RetryBackend(faulty), POLICY).head(KEY)
    assert fault.struck == POLICY.tries
