"""How fast a cold file is read through the mount, beside JuiceFS and tmpfs itself.

Before each read the contestant is mounted by a fresh process, so no cache of a daemon is warm, and
the kernel's page cache, dentries and inodes are dropped. What stays warm is alike for all: the
stored bytes lie on tmpfs, that is in memory. Degraded means: two of six backends' directories are
moved away before the mount.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from modelfloat.bench.harness import Row, Run, alternate, ratio
from modelfloat.bench.ours import LOST, SCHEME, Store
from modelfloat.bench.peers.juicefs import Volume, volume
from modelfloat.bench.reader import BUFFER_SIZE, read_cold
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session

TARGET: Final = 0.8
DEGRADED_TARGET: Final = 0.6
OURS: Final = f"modelfloat mount, {SCHEME}"
DEGRADED: Final = f"{OURS}, {' and '.join(LOST)} gone"
PEER: Final = "JuiceFS mount"
NATIVE: Final = "tmpfs itself"


def measure(session: Session) -> Report:
    """All contestants, alternating; every read is compared with the original, off the clock."""
    source = session.source
    with ExitStack() as stack:
        peer = stack.enter_context(volume(session.work / "juicefs"))
        peer.add(source)
        actions = {
            NATIVE: lambda: read_cold(source.path, source),
            PEER: lambda: _read_peer(peer, session),
        }
        if not session.peers_only:
            store = stack.enter_context(_filled_store(session))
            actions = {**_ours(store, session), **actions}
        runs = alternate(actions, session.rounds)
        notes = [*_notes(source.size, session.rounds), f"{peer.version}, file storage, Redis"]
    rows = [Row(name, source.size, taken) for name, taken in runs.items()]
    ratios = (
        []
        if session.peers_only
        else [
            ratio("ours / JuiceFS", runs[OURS], runs[PEER], TARGET),
            ratio("degraded / healthy", runs[DEGRADED], runs[OURS], DEGRADED_TARGET),
        ]
    )
    return compare("read", rows, ratios, notes)


def _ours(store: Store, session: Session) -> dict[str, Callable[[], Run]]:
    def healthy() -> Run:
        with store.mounted(session.work / "mount", session.source.path) as path:
            return read_cold(path, session.source)

    def degraded() -> Run:
        with store.without(LOST):
            return healthy()

    return {OURS: healthy, DEGRADED: degraded}


@contextmanager
def _filled_store(session: Session) -> Iterator[Store]:
    store = Store(session.work / "store")
    try:
        store.add(session.source)
        yield store
    finally:
        store.remove()


def _read_peer(peer: Volume, session: Session) -> Run:
    with peer.mounted() as point:
        return read_cold(point / session.source.path.name, session.source)


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"one safetensors file of {size / 1e9:.2f} GB of random BF16, {rounds} rounds, alternating",
        f"sequential reads of {BUFFER_SIZE >> 10} KiB; everything stored lies on tmpfs",
        "before each read: a fresh mount, pages, dentries and inodes dropped, free memory warmed",
        "JuiceFS with its defaults and no local cache (with one its cold reads are slower)",
        "every read is hashed off the clock and compared with the original",
    ]
