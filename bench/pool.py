"""A store over six buckets of a real S3 server on loopback, beside obstore alone.

Each round takes fresh buckets. The store adds a file and gives it back; obstore puts objects of the
same keys and sizes into buckets of its own, and fetches the shards that a reader needs. Then a
bucket is lost: the store makes its shards again on a new one, and obstore fetches and puts as many
bytes as that takes.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from modelfloat.backends.keys import parse_shard_key
from modelfloat.bench.data import Source
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import Ratio, Row, Run, ratio, say
from modelfloat.bench.objects import Buckets, Object
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.report import RATIOS, ROWS, Report
from modelfloat.bench.session import Session
from modelfloat.tests.support.servers import SeaweedFS

COUNT: Final = 6
LOST: Final = 1
"""Which bucket is lost."""
ROUNDS: Final = 3
ADD, READ, REPAIR = "add", "cat, cold", "verify --repair, a bucket lost"
PUT, GET, COPY = "obstore, puts", "obstore, gets of data shards", "obstore, gets and puts"
MOST_MEMORY: Final = 600e6


def measure(session: Session) -> Report:
    """Each of the three, by the store and by obstore, in turn."""
    runs: dict[str, list[Run]] = defaultdict(list)
    sizes: dict[str, int] = {}
    rounds = min(session.rounds, ROUNDS)
    for number in range(rounds):
        with _server(session.work / "server") as server:
            _round(session, server, runs, sizes, ours_first=number % 2 == 0)
    rows = [str(Row(what, sizes[what], taken)) for what, taken in runs.items()]
    ratios = [
        _rate("add / obstore", ADD, PUT, runs, 0.7),
        _rate("read / obstore", READ, GET, runs, 0.7),
        _rate("repair / obstore", REPAIR, COPY, runs, 0.6),
    ]
    peaks = [run.peak_anon or 0 for what in (ADD, READ, REPAIR) for run in runs[what]]
    memory = Figure("peak RssAnon of any of them", "MB", [max(peaks) / 1e6], most=MOST_MEMORY / 1e6)
    tables = [[ROWS, *rows], [RATIOS, *map(str, ratios)], [HEADER, str(memory)]]
    return Report("pool", tables, _notes(session.source.size, rounds))


def _rate(what: str, ours: str, theirs: str, runs: dict[str, list[Run]], least: float) -> Ratio:
    return ratio(what, runs[ours], runs[theirs], least)


def _round(
    session: Session,
    server: SeaweedFS,
    runs: dict[str, list[Run]],
    sizes: dict[str, int],
    *,
    ours_first: bool,
) -> None:
    buckets = Buckets(server, [server.new_bucket() for _ in range(COUNT + 1)])
    others = Buckets(server, [server.new_bucket() for _ in range(COUNT + 1)])
    with ExitStack() as stack:
        store = stack.enter_context(_store(session.work / "pool", buckets))
        _note(runs, sizes, ADD, 0, store.add(session.source))
        shards = [found for found in buckets.objects() if parse_shard_key(found.key)]
        sizes[ADD] = sizes[PUT] = sum(found.size for found in shards)
        with memoryview(session.source.path.read_bytes()) as data:
            _note(runs, sizes, PUT, sizes[PUT], others.put(shards, data))
            needed = [found for found in shards if _is_data(found)]
            size = sum(found.size for found in needed)

            def read() -> None:
                _note(runs, sizes, READ, size, store.run("cat", _address(session.source)))

            def get() -> None:
                _note(runs, sizes, GET, size, others.get(needed))

            for action in (read, get) if ours_first else (get, read):
                action()
            store.check(session.source)
            _repair(store, buckets, others, shards, data, runs, sizes)
        store.check(session.source)
        store.verify()


def _repair(
    store: Store,
    buckets: Buckets,
    others: Buckets,
    shards: list[Object],
    data: memoryview,
    runs: dict[str, list[Run]],
    sizes: dict[str, int],
) -> None:
    """A bucket is emptied for good, and an empty one takes its place."""
    lost = [found for found in shards if found.bucket == LOST]
    buckets.delete([found for found in buckets.objects() if found.bucket == LOST])
    store.run("backend", "add", f"d{COUNT}", buckets.urls[COUNT])
    sources = _sources(shards, lost)
    moved = sum(found.size for found in (*sources, *lost))
    _note(runs, sizes, REPAIR, moved, store.run("verify", "--repair", ends=(0, 3)))
    first = others.get(sources)
    second = others.put([Object(COUNT, found.key, found.size) for found in lost], data)
    _note(runs, sizes, COPY, moved, Run(first.seconds + second.seconds))


def _sources(shards: list[Object], lost: list[Object]) -> list[Object]:
    """k shards of each pack that lost one."""
    packs: dict[str, list[Object]] = defaultdict(list)
    for found in shards:
        if found.bucket != LOST:
            packs[found.key.rpartition("/")[0]].append(found)
    chosen = []
    for one in lost:
        shard = parse_shard_key(one.key)
        assert shard is not None
        chosen += packs[one.key.rpartition("/")[0]][: shard[2]]
    return chosen


def _note(
    runs: dict[str, list[Run]], sizes: dict[str, int], what: str, size: int, run: Run
) -> None:
    runs[what].append(run)
    sizes[what] = size
    say(f"{what}: {run.seconds:.2f} s")


def _is_data(found: Object) -> bool:
    """Whether a reader needs that object: one of k shards of a pack that is split."""
    shard = parse_shard_key(found.key)
    return shard is not None and 1 < shard[2] > shard[1]


def _address(source: Source) -> str:
    return f"{REPOSITORY}/{source.path.name}"


@contextmanager
def _store(path: Path, buckets: Buckets) -> Iterator[Store]:
    urls = {f"d{number}": url for number, url in enumerate(buckets.urls[:COUNT])}
    store = Store(path, SCHEME, urls)
    try:
        yield store
    finally:
        store.remove()


@contextmanager
def _server(folder: Path) -> Iterator[SeaweedFS]:
    folder.mkdir()
    server = SeaweedFS(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"a safetensors file of {size / 1e9:.2f} GB of random BF16, {rounds} rounds, {SCHEME}",
        "SeaweedFS on loopback with its data on tmpfs, fresh for each round; six buckets",
        "add and cat are whole processes; the server works on the same cores",
        "obstore: 24 threads, each object whole; put: objects of the shards' keys and sizes",
        "what was read is compared off the clock, also after the repair; verify is clean then",
    ]
