"""How fast one incompressible file goes in: `modelfloat add` with 4+2 beside `restic backup`.

Source, store and repository lie on the same tmpfs; each round starts with a fresh store and a fresh
repository, made off the clock. The clock covers the whole process. Both sync every file they
write, which on tmpfs costs the calls alone. ModelFloat writes 1.5 times what restic does.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from modelfloat.bench.data import Source
from modelfloat.bench.harness import Row, Run, alternate, ratio, warm_memory
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.peers import restic
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session

TARGET: Final = 3.0
OURS: Final = f"modelfloat add, {SCHEME}"
PEER: Final = "restic backup"


class Target(Protocol):
    """Something a file can be added to, checked, and thrown away."""

    path: Path

    def add(self, source: Source) -> Run: ...
    def check(self, source: Source) -> None: ...
    def remove(self) -> None: ...


WARMED: Final = 3
"""Times the source's size: what is stored with parity, and every process's own memory."""


def measure(session: Session) -> Report:
    """Both contestants, alternating; what each stored is read back and compared each round."""
    stored: dict[str, int] = {}
    makers: dict[str, Callable[[Path], Target]] = {PEER: restic.Repository}
    if not session.peers_only:
        makers = {OURS: Store, **makers}
    actions = {name: _action(name, make, session, stored) for name, make in makers.items()}
    runs = alternate(actions, session.rounds)
    size = session.source.size
    rows = [Row(name, size, taken) for name, taken in runs.items()]
    ratios = [] if session.peers_only else [ratio("ours / restic", runs[OURS], runs[PEER], TARGET)]
    sizes = ", ".join(f"{name} {total / 1e9:.2f} GB" for name, total in stored.items())
    return compare(
        "add", rows, ratios, [*_notes(size, session.rounds), restic.version(), f"stored: {sizes}"]
    )


def _action(
    name: str, make: Callable[[Path], Target], session: Session, stored: dict[str, int]
) -> Callable[[], Run]:
    def action() -> Run:
        source = session.source
        target = make(session.work / "target")
        try:
            warm_memory(WARMED * source.size)
            run = target.add(source)
            target.check(source)
            stored[name] = _size(target.path)
        finally:
            target.remove()
        return run

    return action


def _size(folder: Path) -> int:
    """Bytes that the files below `folder` take, holes not counted."""
    return sum(
        os.lstat(os.path.join(parent, name)).st_blocks * 512
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"one safetensors file of {size / 1e9:.2f} GB of random BF16, {rounds} rounds, alternating",
        "source, store and repository on tmpfs; fsync on for both; whole-process wall time",
        "every round in a fresh store; what was stored is read back and compared, off the clock",
    ]
