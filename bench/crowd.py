"""64 readers over 16 files, with a cap on memory: every byte right, and RssAnon of the daemon.

Once from directories on tmpfs, once from backends behind a network, where more has to be under way
at once.
"""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from modelfloat.bench.crowds import Crowd, read_together
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import drop_page_cache, say
from modelfloat.bench.network import Network
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.remote import NETWORK, NO_CACHE
from modelfloat.bench.report import Report
from modelfloat.bench.sampler import AnonSampler
from modelfloat.bench.serving import serving
from modelfloat.bench.session import Session
from modelfloat.bench.shards import Set, make_set

FILES: Final = 16
PROCESSES: Final = 4
THREADS: Final = 16
EACH: Final = 2
"""Files that a thread reads, one after the other."""
CAP: Final = 512_000_000
OVER: Final = 300_000_000
"""Bytes of RssAnon that a daemon may have beyond its cap: itself, its threads, the kernel's."""
ROUNDS: Final = 2


def measure(session: Session) -> Report:
    """Either place; a wrong byte or a failed read ends the bench."""
    peaks: dict[str, list[float]] = {}
    rates: dict[str, list[float]] = {}
    rounds = min(session.rounds, ROUNDS)
    with ExitStack() as stack:
        work = session.work / "crowd"
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        files = make_set(work / "set", "crowd", FILES, session.size // FILES)
        store = Store(work / "store")
        store.run("add", str(files.folder), REPOSITORY)
        for _ in range(rounds):
            for where, network in (("directories", None), ("behind a network", NETWORK)):
                crowd, peak = _crowd(store, session.work / "mount", files, network)
                peaks.setdefault(where, []).append(peak / 1e6)
                rates.setdefault(where, []).append(crowd.rate / 1e6)
                say(f"{where}: {crowd.seconds:.1f} s, RssAnon {peak / 1e6:.0f} MB")
    most = (CAP + OVER) / 1e6
    figures = [
        *(Figure(f"{where}: all readers together", "MB/s", rates[where]) for where in rates),
        *(Figure(f"{where}: peak RssAnon", "MB", peaks[where], most=most) for where in peaks),
    ]
    return Report("crowd", [[HEADER, *map(str, figures)]], _notes(files, rounds))


def _crowd(store: Store, point: Path, files: Set, network: Network | None) -> tuple[Crowd, int]:
    """What the readers got, and the daemon's largest RssAnon meanwhile."""
    with serving(store, point, network, f"--memory={CAP // 10**6}MB", NO_CACHE) as mount:
        top = mount.folder
        expected = {str(top / shard.path.name): shard for shard in files.shards}
        paths = [Path(path) for path in expected]
        drop_page_cache()
        sampler = AnonSampler(mount.pid)
        # Each process begins elsewhere in the list, each of its threads elsewhere again.
        turns = [number * FILES // PROCESSES for number in range(PROCESSES)]
        try:
            tasks = [[*paths[turn:], *paths[:turn]] for turn in turns]
            return read_together(tasks, expected, threads=THREADS, each=EACH), sampler.peak or 0
        finally:
            sampler.stop()


def _notes(files: Set, rounds: int) -> list[str]:
    return [
        f"{FILES} files, {files.size / 1e9:.2f} GB, a store of {SCHEME} on tmpfs; {rounds} rounds",
        f"{PROCESSES} processes of {THREADS} threads, a thread reads {EACH} files, each other ones",
        f"mounted with --memory={CAP // 10**6}MB; RssAnon of the daemon, every 20 ms",
        "every byte of every reader is hashed and compared; no read failed, or no table were here",
    ]
