"""The network that benches put between a store and its backends is as slow as they say."""

from pathlib import Path

import pytest
import trio

from modelfloat.backends.memory import MemoryBackend
from modelfloat.bench.network import SLICE, Line, Network, NetworkBackend, Traffic
from modelfloat.ids import Key

KEY = Key("packs/00/one")
SIZE = 4 * SLICE
RATE = 1_000_000.0


async def behind(network: Network, folder: Path, name: str = "d0") -> NetworkBackend:
    inner = MemoryBackend(name)
    await inner.put(KEY, [bytes(SIZE)])
    return NetworkBackend(inner, network, Line(), Traffic(folder / "counts"))


async def seconds_of(backend: NetworkBackend, readers: int = 1) -> float:
    begin = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(readers):
            nursery.start_soon(backend.get_into, KEY, 0, memoryview(bytearray(SIZE)))
    return trio.current_time() - begin


async def test_a_call_takes_its_latency_and_its_bytes(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    backend = await behind(Network(latency=0.05, connection=RATE), tmp_path)
    assert await seconds_of(backend) == pytest.approx(0.05 + SIZE / RATE)
    # Connections have their rate each.
    assert await seconds_of(backend, readers=3) == pytest.approx(0.05 + SIZE / RATE)


async def test_connections_share_the_whole_line(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    backend = await behind(Network(latency=0.05, connection=RATE, whole=2 * RATE), tmp_path)
    assert await seconds_of(backend) == pytest.approx(0.05 + SIZE / RATE)
    taken = await seconds_of(backend, readers=8)
    assert taken == pytest.approx(0.05 + 8 * SIZE / (2 * RATE), rel=0.02)


async def test_only_the_slow_backend_is_slow(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    network = Network(latency=0.05, connection=RATE, slow=("d1",), factor=20)
    usual = await seconds_of(await behind(network, tmp_path))
    slow = await seconds_of(await behind(network, tmp_path, "d1"))
    assert slow == pytest.approx(20 * usual)


async def test_what_was_fetched_is_counted_for_every_process(tmp_path: Path) -> None:
    backend = await behind(Network(), tmp_path)
    assert await backend.get(KEY, 5, 10) == bytes(10)
    await seconds_of(backend, readers=2)
    seen = Traffic(tmp_path / "counts")
    assert (seen.fetched, seen.calls) == (10 + 2 * SIZE, 3)
