"""Each named fault does what its name says, where and as often as it is told."""

import pytest
import trio
from trio.testing import MockClock

from modelfloat.backends.faulty import FaultyBackend, Name, SimulatedCrash
from modelfloat.backends.keys import check_key
from modelfloat.backends.memory import MemoryBackend
from modelfloat.errors import (
    BackendError,
    CorruptAnswerError,
    DeniedError,
    KeyNotFoundError,
    QuotaError,
    UnavailableError,
)

KEY, OTHER = check_key("packs/a"), check_key("journal/a")
VALUE = bytes(100)


@pytest.fixture
async def faulty() -> FaultyBackend:
    inner = MemoryBackend("d0")
    for key in (KEY, OTHER):
        await inner.put(key, [VALUE])
    return FaultyBackend(inner)


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("unavailable", UnavailableError),
        ("not_found", KeyNotFoundError),
        ("denied", DeniedError),
        ("short_read", CorruptAnswerError),
    ],
)
async def test_faults_of_reading(
    faulty: FaultyBackend, name: Name, raised: type[BackendError]
) -> None:
    faulty.inject(name, on=["get"], prefix="packs/", times=2)
    for _ in range(2):
        with pytest.raises(raised, match=f"d0: get packs/a: injected fault {name}") as caught:
            await faulty.get(KEY, 0, 10)
        assert (caught.value.backend, caught.value.key) == ("d0", KEY)
        assert await faulty.get(OTHER, 0, 10) == VALUE[:10]
        assert await faulty.head(KEY) == 100
    assert await faulty.get(KEY) == VALUE


async def test_full(faulty: FaultyBackend) -> None:
    faulty.inject("full", prefix="packs/")
    with pytest.raises(QuotaError):
        await faulty.put(KEY, [b"new"])
    await faulty.put(OTHER, [b"new"])
    assert await faulty.get(KEY) == VALUE
    with pytest.raises(ValueError, match="full cannot strike"):
        faulty.inject("full", on=["get"])


async def test_unavailable_strikes_everything(faulty: FaultyBackend) -> None:
    fault = faulty.inject("unavailable")
    for call in (
        lambda: faulty.put(KEY, [b"x"]),
        lambda: faulty.get(KEY),
        lambda: faulty.get_into(KEY, 0, memoryview(bytearray(1))),
        lambda: faulty.head(KEY),
        lambda: faulty.delete(KEY),
        lambda: anext(faulty.list()),
        lambda: faulty.usage(),
    ):
        with pytest.raises(UnavailableError):
            await call()
    assert fault.struck == 7
    faulty.clear()
    assert await faulty.get(KEY) == VALUE


async def test_flip_bit_changes_one_bit_of_what_is_read(faulty: FaultyBackend) -> None:
    faulty.inject("flip_bit", times=2)
    out = bytearray(100)
    await faulty.get_into(KEY, 0, memoryview(out))
    assert sum(byte.bit_count() for byte in out) == 1
    assert sum(byte.bit_count() for byte in await faulty.get(KEY, 0, 7)) == 1
    assert await faulty.get(KEY) == VALUE


async def test_flip_bit_changes_one_bit_of_what_is_stored(faulty: FaultyBackend) -> None:
    faulty.inject("flip_bit", on=["put"], times=1)
    await faulty.put(KEY, [bytes(5), bytes(6)])
    assert sum(byte.bit_count() for byte in await faulty.get(KEY)) == 1
    await faulty.put(KEY, [bytes(11)])
    assert await faulty.get(KEY) == bytes(11)


async def test_slow_and_hang(faulty: FaultyBackend, autojump_clock: MockClock) -> None:
    faulty.inject("slow", on=["head"], seconds=30, times=1)
    assert await faulty.head(KEY) == 100
    assert trio.current_time() == 30
    faulty.inject("hang", on=["head"])
    with trio.move_on_after(1000) as scope:
        await faulty.head(KEY)
    assert scope.cancelled_caught


async def test_faults_strike_in_the_order_they_came(faulty: FaultyBackend) -> None:
    faulty.inject("denied", on=["head"], times=1)
    faulty.inject("unavailable", on=["head"], times=1)
    with pytest.raises(DeniedError):
        await faulty.head(KEY)
    with pytest.raises(UnavailableError):
        await faulty.head(KEY)
    assert await faulty.head(KEY) == 100


async def test_lose(faulty: FaultyBackend) -> None:
    await faulty.lose("packs/")
    with pytest.raises(KeyNotFoundError):
        await faulty.get(KEY)
    assert [each.key async for each in faulty.list()] == [OTHER]
    await faulty.lose()
    assert [each.key async for each in faulty.list()] == []


async def test_crash_after_so_many_puts(faulty: FaultyBackend) -> None:
    faulty.crash_after(2)
    assert await faulty.head(KEY) == 100
    await faulty.put(check_key("n/1"), [b"x"])
    await faulty.put(check_key("n/2"), [b"x"])
    for _ in range(2):
        with pytest.raises(SimulatedCrash):
            await faulty.put(check_key("n/3"), [b"x"])
        with pytest.raises(SimulatedCrash):
            await faulty.get(KEY)
    faulty.clear()
    assert [each.key async for each in faulty.list("n/")] == ["n/1", "n/2"]
