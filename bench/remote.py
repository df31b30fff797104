"""Reading from backends behind a network: 50 ms away, 50 MB/s a connection, 400 MB/s in all.

The network is simulated round directories on tmpfs (`network.py`); everything else is the program
as it is. No peer: with what JuiceFS and rclone are told of a network they could not be given this
one. The limit is the network itself.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from blake3 import blake3

from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import BenchError, drop_page_cache, say
from modelfloat.bench.loads import loader
from modelfloat.bench.network import Network
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.read import filled_store
from modelfloat.bench.report import Report
from modelfloat.bench.serving import serving
from modelfloat.bench.session import Session

NETWORK: Final = Network(latency=0.05, connection=50e6, whole=400e6)
NO_CACHE: Final = "--cache-size=0"
"""Nothing is kept on a disk: every mount is cold."""
ROUNDS: Final = 3
SETTLED: Final = 1.0
"""Seconds of a stream that its rate leaves out: it is taken from the second second on."""
BUFFER: Final = 1 << 20
PAGE: Final = 4096


def measure(session: Session) -> Report:
    """A stream, first bytes, and a loader with and without a prefetch of its own."""
    source = session.source
    rates: list[float] = []
    first: list[float] = []
    middle: list[float] = []
    lazy: list[float] = []
    ahead: list[float] = []
    with ExitStack() as stack:
        store = stack.enter_context(filled_store(session, "store", source))
        loads = stack.enter_context(loader(session.work))
        expected = loads.load("safetensors", source.path)

        def fresh(action: Callable[[Path], float], what: str, values: list[float]) -> None:
            values.append(_over_network(store, session.work / "mount", source, action))
            say(f"{what}: {values[-1]:.3f}")

        for number in range(rounds := min(session.rounds, ROUNDS)):
            fresh(lambda path: _stream(path, source), "bytes a second", rates)
            fresh(lambda path: _first_byte(path, 0), "first byte", first)
            fresh(lambda path: _first_byte(path, source.size // 2), "a byte in its middle", middle)
            loaders: list[tuple[str, list[float], bool]] = [
                ("lazy load", lazy, False),
                ("prefetched load", ahead, True),
            ]
            for what, values, prefetched in loaders if number % 2 == 0 else loaders[::-1]:

                def loaded(path: Path, prefetched: bool = prefetched) -> float:
                    return loads.load_as(expected, "safetensors", path, ahead=prefetched)

                fresh(loaded, what, values)
    return Report(
        "remote",
        [[HEADER, *map(str, _figures(rates, first, middle, lazy, ahead))]],
        _notes(source.size, rounds),
    )


def _figures(
    rates: Sequence[float],
    first: Sequence[float],
    middle: Sequence[float],
    lazy: Sequence[float],
    ahead: Sequence[float],
) -> list[Figure]:
    trip, cap = NETWORK.latency, NETWORK.whole
    ratios = [mine / theirs for mine, theirs in zip(lazy, ahead, strict=True)]
    return [
        Figure("a stream from its 2nd second on", "MB/s", [rate / 1e6 for rate in rates]),
        Figure("the same / the network's limit", "", [rate / cap for rate in rates], least=0.9),
        Figure("first byte of a file", "round trips", [s / trip for s in first], most=2.5),
        Figure(
            "first byte read in its middle", "round trips", [s / trip for s in middle], most=2.5
        ),
        Figure("safetensors load_file, plain", "s", lazy),
        Figure("safetensors load_file beside an 8 × 16 MiB prefetch", "s", ahead),
        Figure("plain / prefetched, seconds", "", ratios, most=1.15),
    ]


def _over_network(
    store: Store, point: Path, source: Source, action: Callable[[Path], float]
) -> float:
    with serving(store, point, NETWORK, NO_CACHE) as mount:
        drop_page_cache()
        return action(mount.folder / source.path.name)


def _stream(path: Path, expected: Source) -> float:
    """Bytes a second from the second second on; what was read is hashed while it comes."""
    hasher, buffer = blake3(), memoryview(bytearray(BUFFER))
    start, early, size = time.perf_counter(), 0, 0
    began = start
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
            size += count
            now = time.perf_counter()
            if now - start <= SETTLED:
                early, began = size, now
    if size != expected.size or hasher.digest() != expected.digest:
        raise BenchError(f"{path.name} read {size} bytes that are not those of the original")
    if early == size:
        raise BenchError("the file was read within a second; give a larger --size")
    return (size - early) / (time.perf_counter() - began)


def _first_byte(path: Path, offset: int) -> float:
    """Seconds from before the lookup of a file until its first page is there."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if not os.pread(descriptor, PAGE, offset):
            raise BenchError(f"{path.name} has nothing at {offset}")
        return time.perf_counter() - start
    finally:
        os.close(descriptor)


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"a safetensors file of {size / 1e9:.2f} GB, {rounds} rounds, a fresh mount for each value",
        f"a store of {SCHEME} on six directories on tmpfs, {NETWORK.latency * 1e3:.0f} ms away",
        f"{NETWORK.connection / 1e6:.0f} MB/s a connection, {NETWORK.whole / 1e6:.0f} MB/s in all",
        "the clock of a first byte covers lookup and open; objects are mirrored locally",
        "no disk cache: each mount is cold",
        "a load ends with every tensor copied to memory of its own; what was read is compared",
    ]
