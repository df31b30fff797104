"""Random access: how long 4 KiB take, and how much is fetched for what is asked.

Warm means that the daemon has the chunk in memory and the kernel has not the page. What backends
delivered is counted at the backends (`network.py`), in runs of their own.
"""

import os
import random
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import trio

from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure, percentile
from modelfloat.bench.harness import BenchError, drop_page_cache
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.read import filled_store
from modelfloat.bench.readahead import ORDINARY, limit_requests
from modelfloat.bench.report import Report
from modelfloat.bench.serving import Serving, serving
from modelfloat.bench.session import Session
from modelfloat.cas.read.recipe import ChunkSpan
from modelfloat.cas.refnames import parse_address
from modelfloat.opening import open_store

PAGE: Final = 4096
RANGE: Final = 10_000_000
PAGES: Final = 400
RANGES: Final = 40
WARM: Final = 16 << 20
"""Bytes of the file that are in the daemon's memory, less than its cache holds."""
ROUNDS: Final = 3
BINDINGS: Final = ("kernel", "pyfuse3")

Found = dict[str, list[float]]


def measure(session: Session) -> Report:
    """Latencies by either binding, then what was fetched."""
    source, found = session.source, Found()
    rounds = min(session.rounds, ROUNDS)
    with filled_store(session, "store", source) as store:
        spans = chunk_spans(store, source)
        for number in range(rounds):
            chance = random.Random(number)
            for binding in BINDINGS if number % 2 == 0 else BINDINGS[::-1]:
                with _opened(store, session, f"--binding={binding}") as (_, descriptor):
                    taken = _warm(descriptor, source, chance)
                _note(found, binding, percentile(taken, 0.5) * 1e3)
                _note(found, f"{binding} p99", percentile(taken, 0.99) * 1e3)
            for size, count in ((PAGE, PAGES), (RANGE, RANGES)):
                with _opened(store, session) as (mount, descriptor):
                    places = _places(spans, source.size, size, count, chance)
                    _cold(found, mount, descriptor, source, places, size, spans)
    figures = [HEADER, *map(str, _figures(found))]
    return Report("random", [figures], _notes(source.size, rounds))


def _note(found: Found, what: str, value: float) -> None:
    found.setdefault(what, []).append(value)


def _figures(found: Found) -> list[Figure]:
    warm = "4 KiB at random, chunk in memory"
    return [
        Figure(f"{warm}, kernel binding: p50", "ms", found["kernel"], most=0.5),
        Figure(f"{warm}, kernel binding: p99", "ms", found["kernel p99"]),
        Figure(f"{warm}, pyfuse3: p50", "ms", found["pyfuse3"], most=0.5),
        Figure(f"{warm}, pyfuse3: p99", "ms", found["pyfuse3 p99"]),
        Figure("4 KiB at random, cold: p50", "ms", found[f"{PAGE} p50"]),
        Figure("4 KiB: bytes fetched / chunks touched", "", found[f"{PAGE} touched"], most=1.1),
        Figure("10 MB ranges, cold: p50", "ms", found[f"{RANGE} p50"]),
        Figure("10 MB: bytes fetched / chunks touched", "", found[f"{RANGE} touched"], most=1.1),
        Figure("10 MB: bytes fetched / bytes asked", "", found[f"{RANGE} asked"], most=1.1),
    ]


def _cold(
    found: Found,
    mount: Serving,
    descriptor: int,
    source: Source,
    places: Sequence[int],
    size: int,
    spans: Sequence[ChunkSpan],
) -> None:
    """Reads of places that nobody has read, and what they made the daemon fetch."""
    before = mount.traffic.fetched
    taken = _reads(descriptor, source, places, size)
    fetched = mount.traffic.fetched - before
    _note(found, f"{size} p50", percentile(taken, 0.5) * 1e3)
    _note(found, f"{size} touched", fetched / _touched(spans, places, size))
    _note(found, f"{size} asked", fetched / (size * len(places)))


@contextmanager
def _opened(store: Store, session: Session, *options: str) -> Iterator[tuple[Serving, int]]:
    """The file in a fresh mount, opened, with the page cache empty."""
    with serving(store, session.work / "mount", None, *options) as mount:
        limit_requests(mount.point)
        drop_page_cache()
        descriptor = os.open(mount.folder / session.source.path.name, os.O_RDONLY)
        try:
            yield mount, descriptor
        finally:
            os.close(descriptor)


def _warm(descriptor: int, source: Source, chance: random.Random) -> list[float]:
    """Pages at random out of what the daemon has in memory and the kernel has not."""
    start = source.size // 2 // PAGE * PAGE
    for offset in range(start, start + WARM, 1 << 20):
        os.pread(descriptor, 1 << 20, offset)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    places = [start + PAGE * number for number in range(WARM // PAGE)]
    return _reads(descriptor, source, chance.sample(places, PAGES * 4), PAGE)


def _reads(descriptor: int, source: Source, places: Sequence[int], size: int) -> list[float]:
    """Seconds of each read; BenchError where one got other bytes than the original's."""
    taken = []
    with open(source.path, "rb", buffering=0) as original:
        for place in places:
            start = time.perf_counter()
            data = os.pread(descriptor, size, place)
            taken.append(time.perf_counter() - start)
            if data != os.pread(original.fileno(), size, place):
                raise BenchError(f"the bytes at {place} are not those of the original")
    return taken


def _places(
    spans: Sequence[ChunkSpan], end: int, size: int, count: int, chance: random.Random
) -> list[int]:
    """Places at random: pages in chunks of their own, ranges that do not meet.

    A chunk that is needed again after it has left the memory would be fetched again, and rightly.
    """
    if size == PAGE:
        roomy = [span for span in spans if span.raw >= 2 * PAGE]
        chosen = chance.sample(roomy, min(count, len(roomy)))
        return [span.offset + chance.randrange(span.raw - PAGE) for span in chosen]
    room = end // (2 * size)
    slots = chance.sample(range(room), min(count, room))
    return [2 * size * slot + chance.randrange(size) for slot in slots]


def _touched(spans: Sequence[ChunkSpan], places: Sequence[int], size: int) -> int:
    """Bytes of all chunks that hold something of a place, each once."""
    touched: dict[int, int] = {}
    starts = [span.offset for span in spans]
    for place in places:
        first = bisect_right(starts, place) - 1
        for span in spans[first : bisect_right(starts, place + size - 1)]:
            touched[span.offset] = span.raw
    return sum(touched.values())


def chunk_spans(store: Store, source: Source) -> list[ChunkSpan]:
    """Where the chunks of a stored file begin, and how long they are."""

    async def find() -> list[ChunkSpan]:
        async with open_store(str(store.path)) as opened:
            reader = opened.open_file(parse_address(f"{REPOSITORY}/{source.path.name}"))
            return reader.spans(0, source.size)

    return trio.run(find)


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"a file of {size / 1e9:.2f} GB of random BF16, not compressed, a store of {SCHEME}",
        f"{rounds} rounds, a fresh mount for each value; {4 * PAGES} warm pages",
        f"{PAGES} cold places of 4 KiB, each in a chunk of its own",
        f"{RANGES} ranges of 10 MB that begin anywhere and do not meet, each read by one call",
        f"requests of {ORDINARY} KiB: what the kernel reads ahead by itself is fetched, too",
        "bytes fetched are counted at the backends; every read is compared with the original",
        "of a range that begins anywhere the chunks at both ends are fetched whole, to be verified",
    ]
