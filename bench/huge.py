"""What a mount costs that shows a million files, or a file of 400 GB.

The file is sparse, with a mebibyte of random bytes in every ten gigabytes. Both lie in one store on
a disk; they are added side by side, which takes some minutes and is not what is measured.
"""

import os
import random
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from blake3 import blake3

from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.folders import tiny_files
from modelfloat.bench.harness import BenchError, drop_page_cache, say
from modelfloat.bench.memory import APART, ISLAND, make_sparse
from modelfloat.bench.ours import Store
from modelfloat.bench.report import Report
from modelfloat.bench.sampler import anon_of
from modelfloat.bench.session import Session
from modelfloat.fuse.control import mount_states

FILES: Final = 1_000_000
SPARSE: Final = 400_000_000_000
OPENED: Final = 200
ROUNDS: Final = 3
MANY, LONG = "acme/many", "acme/long"
READY: Final = 1.0
OPEN: Final = 0.05
"""Seconds until a mount is ready, and until a file is open."""

Found = dict[str, list[float]]


def measure(session: Session) -> Report:
    """Each round by a fresh mount; what is read is compared."""
    found: Found = {}
    rounds = min(session.rounds, ROUNDS)
    with tempfile.TemporaryDirectory(
        prefix="modelfloat-bench-", dir=session.folder or "/var/tmp"
    ) as folder:
        work = Path(folder)
        small, store = _small(work), _filled(work)
        for number in range(rounds):
            _mount_small(found, small, work / "mount")
            _round(found, store, work / "mount", random.Random(number))
    return Report("huge", [[HEADER, *map(str, _figures(found))]], _notes(rounds))


def _small(work: Path) -> Store:
    store = Store(work / "small", scheme=None)
    store.run("add", __file__, MANY)
    return store


def _mount_small(found: Found, store: Store, point: Path) -> None:
    """What a mount takes by itself; the program's own files are in the page cache afterwards."""
    drop_page_cache()
    for _ in range(2):
        start = time.perf_counter()
        with store.mounted(point, Path()):
            seconds = time.perf_counter() - start
    found.setdefault("small", []).append(seconds)


def _filled(work: Path) -> Store:
    say(f"making {FILES:,} files and one of {SPARSE / 1e9:.0f} GB")
    tiny_files(work / "many", FILES)
    make_sparse(work / "sparse", SPARSE)
    store = Store(work / "store", scheme=None)
    failures: list[BaseException] = []

    def add(source: str, repository: str) -> None:
        try:
            store.run("add", str(work / source), repository)
        except BenchError as error:
            failures.append(error)

    adds = [threading.Thread(target=add, args=each) for each in (("many", MANY), ("sparse", LONG))]
    for thread in adds:
        thread.start()
    for thread in adds:
        thread.join()
    if failures:
        raise failures[0]
    return store


def _round(found: Found, store: Store, point: Path, chance: random.Random) -> None:
    def note(what: str, value: float) -> None:
        found.setdefault(what, []).append(value)
        say(f"{what}: {value:.3f}")

    start = time.perf_counter()
    with store.mounted(point, Path()):
        note("ready", time.perf_counter() - start)
        (state,) = mount_states(str(store.path))
        note("idle", anon_of(state.pid) / 1e6)
        note("first open", _open(point / MANY / _name(chance)))
        opens = [_open(point / MANY / _name(chance)) for _ in range(OPENED)]
        note("any open", max(opens))
        note("long open", _open(point / LONG / "sparse"))
        _compare(point / LONG / "sparse", chance)
        note("opened", anon_of(state.pid) / 1e6)
        if "listing" in found:
            return
        start = time.perf_counter()
        if len(os.listdir(point / MANY)) != FILES:
            raise BenchError(f"the mount does not list {FILES:,} files")
        note("listing", time.perf_counter() - start)
        note("listed", anon_of(state.pid) / 1e6)


def _name(chance: random.Random) -> str:
    return f"file-{chance.randrange(FILES):07}.bin"


def _open(path: Path) -> float:
    """Seconds of the lookup and the open."""
    start = time.perf_counter()
    descriptor = os.open(path, os.O_RDONLY)
    seconds = time.perf_counter() - start
    os.close(descriptor)
    return seconds


def _compare(path: Path, chance: random.Random) -> None:
    """One of the file's islands, and zeros after it."""
    offset = chance.randrange(SPARSE // APART) * APART
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(ISLAND + 4096)
    if data != blake3(b"island %d" % offset).digest(length=ISLAND) + bytes(4096):
        raise BenchError(f"the bytes at {offset} of the long file are not those of the original")


def _figures(found: Found) -> list[Figure]:
    return [
        Figure("mount ready, the command's whole time", "s", found["ready"], most=READY),
        Figure("the same of a store of one file", "s", found["small"]),
        Figure(f"first open among {FILES:,} files", "s", found["first open"], most=OPEN),
        Figure(f"longest of {OPENED} more opens there", "s", found["any open"], most=OPEN),
        Figure(f"open of the file of {SPARSE / 1e9:.0f} GB", "s", found["long open"], most=OPEN),
        Figure(f"listing of {FILES:,} files", "s", found["listing"]),
        Figure("RssAnon, mounted", "MB", found["idle"]),
        Figure("RssAnon, after the opens", "MB", found["opened"]),
        Figure("RssAnon, after the listing", "MB", found["listed"]),
    ]


def _notes(rounds: int) -> list[str]:
    return [
        f"one store: {FILES:,} files of a byte or none in a folder, one of {SPARSE / 1e9:.0f} GB",
        f"{rounds} rounds, a fresh mount each; a store of 8+1, its index not in the page cache",
        "the clock of an open covers the lookup; names are looked up at random",
        "everything is listed once, in the first round",
    ]
