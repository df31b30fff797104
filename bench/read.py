"""How fast a cold file is read through the mount, beside others' mounts and tmpfs itself.

Before each read the contestant is mounted by a fresh process, so no cache of a daemon is warm, and
the kernel's page cache, dentries and inodes are dropped. What stays warm is alike for all: the
stored bytes lie on tmpfs, that is in memory. Degraded means: two of six backends' directories are
moved away before the mount.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final

from modelfloat.bench.data import Source
from modelfloat.bench.harness import BenchError, Ratio, Row, Run, alternate, ratio
from modelfloat.bench.ours import LOST, REPOSITORY, SCHEME, Store
from modelfloat.bench.peers.juicefs import Volume, volume
from modelfloat.bench.peers.rclone import Rclone
from modelfloat.bench.peers.squashfuse import Image
from modelfloat.bench.plot import bars
from modelfloat.bench.readahead import ORDINARY, limit_requests
from modelfloat.bench.reader import (
    BUFFER_SIZE,
    Way,
    read_cold,
    read_mapped,
    read_through,
    read_warm,
)
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session

PREFIX: Final = "modelfloat"
KERNEL: Final = f"{PREFIX}, kernel binding"
LONG: Final = f"{KERNEL}, requests of 1 MiB"
PYFUSE3: Final = f"{PREFIX}, pyfuse3"
DEGRADED: Final = f"{KERNEL}, {' and '.join(LOST)} gone"
BALANCED: Final = f"{KERNEL}, compressed BF16"
MAPPED: Final = f"{KERNEL}, mapped"
WARM: Final = f"{KERNEL}, second read"
PASSED: Final = f"{KERNEL}, passthrough"
JUICEFS: Final = "JuiceFS mount"
RCLONE: Final = "rclone mount"
SQUASHFUSE: Final = "squashfuse"
NATIVE: Final = "tmpfs itself"

Actions = dict[str, Callable[[], Run]]


def measure(session: Session) -> Report:
    """All contestants, alternating; every read is compared with the original, off the clock."""
    source = session.source
    with ExitStack() as stack:
        actions, versions = _peers(session, stack)
        if not session.peers_only:
            actions = {**_ours(session, stack), **actions}
        runs = alternate(actions, session.rounds)
    rows = [Row(name, source.size, taken) for name, taken in runs.items()]
    notes = [*_notes(source.size, session.rounds), ", ".join(versions)]
    ratios = [] if session.peers_only else _ratios(runs)
    return compare("read", rows, ratios, notes, bars("A cold file, read once", rows, PREFIX))


def _ratios(runs: dict[str, list[Run]]) -> list[Ratio]:
    pairs = [
        ("kernel binding / JuiceFS", KERNEL, JUICEFS, 1.3),
        ("pyfuse3 / JuiceFS", PYFUSE3, JUICEFS, 0.9),
        ("compressed BF16 / JuiceFS, uncompressed", BALANCED, JUICEFS, 1.0),
        ("two backends gone / healthy", DEGRADED, KERNEL, 0.8),
        ("mapped / read", MAPPED, KERNEL, 0.85),
        ("passthrough / tmpfs itself", PASSED, NATIVE, 0.95),
        ("second read / tmpfs itself", WARM, NATIVE, 0.95),
    ]
    return [ratio(what, runs[ours], runs[theirs], least) for what, ours, theirs, least in pairs]


def _ours(session: Session, stack: ExitStack) -> Actions:
    raw = stack.enter_context(filled_store(session, "store", session.source))
    packed = stack.enter_context(filled_store(session, "packed", session.weights))
    point = session.work / "mount"

    def read(store: Store, source: Source, binding: str, way: Way = read_through) -> Run:
        with store.mounted(point, source.path, f"--binding={binding}") as path:
            limit_requests(point)
            return read_cold(path, source, way)

    def long() -> Run:
        with raw.mounted(point, session.source.path, "--binding=kernel") as path:
            return read_cold(path, session.source)

    def warm() -> Run:
        with raw.mounted(point, session.source.path, "--binding=kernel") as path:
            return read_warm(path, session.source)

    def degraded() -> Run:
        with raw.without(LOST):
            return read(raw, session.source, "kernel")

    cache = (f"--cache={session.work / 'cache'}", f"--cache-size={2 * session.size}B")
    raw.run("warm", REPOSITORY, *cache, "--cache-local")

    def passed() -> Run:
        with raw.mounted(point, session.source.path, *cache, "--cache-local") as path:
            run = read_cold(path, session.source)
            if requests := raw.requests():
                raise BenchError(f"{requests} reads reached the mount: nothing was passed through")
            return run

    return {
        KERNEL: lambda: read(raw, session.source, "kernel"),
        LONG: long,
        PYFUSE3: lambda: read(raw, session.source, "pyfuse3"),
        DEGRADED: degraded,
        BALANCED: lambda: read(packed, session.weights, "kernel"),
        MAPPED: lambda: read(raw, session.source, "kernel", read_mapped),
        PASSED: passed,
        WARM: warm,
    }


def _peers(session: Session, stack: ExitStack) -> tuple[Actions, list[str]]:
    source, work = session.source, session.work
    juicefs: Volume = stack.enter_context(volume(work / "juicefs"))
    juicefs.add(source)
    rclone, image = Rclone(work / "rclone"), Image(work / "squashfuse", source)
    shown = work / "shown"
    shown.mkdir()
    (shown / source.path.name).hardlink_to(source.path)

    def within(mounted: Callable[[], AbstractContextManager[Path]]) -> Callable[[], Run]:
        def action() -> Run:
            with mounted() as point:
                return read_cold(point / source.path.name, source)

        return action

    actions = {
        JUICEFS: within(juicefs.mounted),
        SQUASHFUSE: within(image.mounted),
        RCLONE: within(lambda: rclone.mounted(shown)),
        NATIVE: lambda: read_cold(source.path, source),
    }
    return actions, [juicefs.version, image.version, rclone.version]


@contextmanager
def filled_store(session: Session, name: str, source: Source) -> Iterator[Store]:
    """A store of 4+2 that holds one file, on tmpfs, gone afterwards."""
    store = Store(session.work / name)
    try:
        store.add(source)
        yield store
    finally:
        store.remove()


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"safetensors files of {size / 1e9:.2f} GB of BF16, {rounds} rounds, alternating",
        "random bytes, stored as they are; N(0, 0.02) weights in the compressed row",
        f"a store of {SCHEME} on six directories; in every row of ours each chunk is verified",
        f"read by {BUFFER_SIZE >> 10} KiB; requests of {ORDINARY} KiB but where 1 MiB is said",
        "everything stored lies on tmpfs, the disk cache of the passthrough row, too",
        "before each read: a fresh mount, pages, dentries and inodes dropped, free memory warmed",
        "JuiceFS with its defaults and no local cache (with one its cold reads are slower)",
        "squashfuse_ll on an uncompressed image; rclone of a local folder, with its defaults",
        "every read is hashed off the clock and compared with the original",
    ]
