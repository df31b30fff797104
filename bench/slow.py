"""What one backend that is twenty times slower than the others does to a reader.

Single reads of 1 MiB, each at a place of its own, in random order: nothing can be read ahead, so
each read meets whatever its backend does. Healthy and slow take turns, a fresh mount each.
"""

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure, percentile
from modelfloat.bench.harness import BenchError, drop_page_cache, say
from modelfloat.bench.network import Network
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.read import filled_store
from modelfloat.bench.remote import NO_CACHE
from modelfloat.bench.report import Report
from modelfloat.bench.serving import serving
from modelfloat.bench.session import Session

HEALTHY: Final = Network(latency=0.01, connection=200e6)
FACTOR: Final = 20.0
SLOW: Final = Network(latency=0.01, connection=200e6, slow=("d1",), factor=FACTOR)
ROUNDS: Final = 3
SECONDS: Final = 12.0
"""How long is read; the file's end may come first."""
DEMOTED: Final = 5.0
"""Seconds after which the slow backend is to be known as such."""
READ: Final = 1 << 20

Note = Callable[[str, float], None]
"""Takes one round's value of a figure."""

Reads = list[tuple[float, float]]
"""When each read ended, from the first one's begin on, and how long it took; in seconds."""


def measure(session: Session) -> Report:
    """Percentiles of both, and of the slow one before and after it should be known."""
    figures: dict[str, list[float]] = {}

    def note(what: str, value: float) -> None:
        figures.setdefault(what, []).append(value)

    with filled_store(session, "store", session.source) as store:
        rounds = min(session.rounds, ROUNDS)
        for number in range(rounds):
            pair = [("healthy", HEALTHY), ("slow", SLOW)]
            taken = {
                name: _reads(store, session.work / "mount", session.source, network, number)
                for name, network in (pair if number % 2 == 0 else pair[::-1])
            }
            _note_round(note, taken["healthy"], taken["slow"])
    return Report("slow", [[HEADER, *map(str, _figures(figures))]], _notes(session, rounds))


def _note_round(note: Note, healthy: Reads, slow: Reads) -> None:
    usual = [seconds for _, seconds in healthy]
    before = [seconds for end, seconds in slow if end <= DEMOTED]
    after = [seconds for end, seconds in slow if end > DEMOTED]
    if not after:
        raise BenchError(f"the file was read within {DEMOTED:.0f} s; give a larger --size")
    p95, p99 = percentile(usual, 0.95), percentile(usual, 0.99)
    note("p50", percentile(usual, 0.5) * 1e3)
    note("p99", p99 * 1e3)
    note("before p99", percentile(before, 0.99) * 1e3)
    note("after p99", percentile(after, 0.99) * 1e3)
    note("after", percentile(after, 0.99) / p99)
    # A read is hedged when it has taken longer than its backend usually takes.
    note("before", percentile(before, 0.99) / (p95 + 2 * p99))
    say(f"p99 healthy {p99:.3f} s, {len(healthy)} reads; slow {len(before)} + {len(after)} reads")


def _figures(found: dict[str, list[float]]) -> Sequence[Figure]:
    return [
        Figure("all healthy: p50 of 1 MiB", "ms", found["p50"]),
        Figure("all healthy: p99", "ms", found["p99"]),
        Figure(f"one slow, first {DEMOTED:.0f} s: p99", "ms", found["before p99"]),
        Figure("one slow, from then on: p99", "ms", found["after p99"]),
        Figure("first seconds: p99 / (hedge delay + 2 × healthy p99)", "", found["before"], most=1),
        Figure("from then on: p99 / healthy p99", "", found["after"], most=1.5),
    ]


def _reads(store: Store, point: Path, source: Source, network: Network, seed: int) -> Reads:
    """Read places of the file in random order, each once, until time or file is over."""
    original = os.open(source.path, os.O_RDONLY)
    places = list(range(0, source.size - READ, READ))
    random.Random(seed).shuffle(places)
    with serving(store, point, network, NO_CACHE) as mount:
        drop_page_cache()
        descriptor = os.open(mount.folder / source.path.name, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        try:
            return _timed(descriptor, original, places)
        finally:
            os.close(descriptor)
            os.close(original)


def _timed(descriptor: int, original: int, places: Sequence[int]) -> Reads:
    taken: Reads = []
    begin, off = time.perf_counter(), 0.0
    for place in places:
        start = time.perf_counter()
        data = os.pread(descriptor, READ, place)
        end = time.perf_counter()
        taken.append((end - begin - off, end - start))
        if data != os.pread(original, READ, place):
            raise BenchError(f"the bytes at {place} are not those of the original")
        off += time.perf_counter() - end
        if taken[-1][0] > SECONDS:
            break
    return taken


def _notes(session: Session, rounds: int) -> list[str]:
    return [
        f"a store of {SCHEME} on six directories, one of them {FACTOR:.0f} times slower",
        f"each {HEALTHY.latency * 1e3:.0f} ms away, {HEALTHY.connection / 1e6:.0f} MB/s each",
        f"1 MiB at a time of a file of {session.size / 1e9:.2f} GB, each once, in random order",
        f"{rounds} rounds of up to {SECONDS:.0f} s, alternating, a fresh mount each",
        "hedge delay: the healthy p95, the time after which a read is known to be late",
        "every read is compared with the original, off the clock",
    ]
