"""How fast `verify` reads a store, beside hashing the same bytes as b3sum does.

Each contestant is a process of its own over the same shards, which lie on tmpfs. `verify` hashes
every byte of every shard (its blocks), and every byte of data again (the chunks, decoded), and
looks each chunk up in the index; the peers hash every byte once and compare it with nothing.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import Row, Run, alternate, ratio, run_command, warm_memory
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session

TARGET: Final = 0.5
OURS: Final = f"modelfloat verify, {SCHEME}"
MAPPED: Final = "BLAKE3 with all cores, mapped (as b3sum)"
PLAIN: Final = "BLAKE3 in one thread, read"
WARMED: Final = 512 << 20
"""Bytes of free memory that every contestant starts with: more than any of them uses."""
HASHING: Final = Path(__file__).with_name("hashing.py")


def measure(session: Session) -> Report:
    """All contestants, alternating, over one store of the session's file."""
    store = Store(session.work / "store")
    try:
        store.add(session.source)
        shards = session.work / "store" / "backends"
        size = sum(path.stat().st_size for path in shards.rglob("*") if path.is_file())
        actions = {
            OURS: lambda: _warmed(store.verify),
            MAPPED: lambda: _warmed(lambda: _hash("mapped", shards)),
            PLAIN: lambda: _warmed(lambda: _hash("plain", shards)),
        }
        runs = alternate(actions, session.rounds)
    finally:
        store.remove()
    rows = [Row(name, size, taken) for name, taken in runs.items()]
    ratios = [
        ratio("verify / hashing with all cores", runs[OURS], runs[MAPPED], TARGET),
        ratio("verify / hashing in one thread", runs[OURS], runs[PLAIN], TARGET),
    ]
    return compare("verify", rows, ratios, _notes(session, size))


def _warmed(action: Callable[[], Run]) -> Run:
    warm_memory(WARMED)
    return action()


def _hash(how: str, folder: Path) -> Run:
    return run_command([sys.executable, str(HASHING), how, str(folder)], dict(os.environ))


def _notes(session: Session, size: int) -> list[str]:
    what = f"{size / 1e9:.2f} GB of shards of one safetensors file of random BF16"
    return [
        f"{what}, {session.rounds} rounds, alternating; whole processes, start included",
        "everything lies on tmpfs; its peers hash every byte once, verify those of data twice",
    ]
