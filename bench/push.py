"""A fine-tune sent to where its base is: `modelfloat push` beside `restic copy`.

The base is one incompressible file; in the fine-tune a third of it, in one piece, is other bytes.
Both versions are in the sender, the base has been sent before; the clock covers the whole process
that sends the second. All of it lies on one tmpfs. What the other side grew by is counted without
parity (1+0, as restic has none), everything else with it, and compared with the third that changed.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from modelfloat.bench.data import Source, incompressible
from modelfloat.bench.encryption import SealedStore
from modelfloat.bench.harness import Row, Run, alternate, check_output, ratio, warm_memory
from modelfloat.bench.ours import REPOSITORY, SCHEME, Store
from modelfloat.bench.peers import restic
from modelfloat.bench.report import Report, compare
from modelfloat.bench.session import Session
from modelfloat.bench.stored import BARE, backend_bytes, folder_bytes

TARGET: Final = 1.0
OVERHEAD: Final = 0.02
"""More than the chunks that changed may be sent by this share: the two at the ends of the piece,
manifests, footers, the journal."""
OURS: Final = f"push, {SCHEME} to a directory"
SEALED: Final = f"push, {SCHEME} to an encrypted store"
PEER: Final = "restic copy"
HEADER: Final = (
    "| who | changed MB | grew by MB | more than that | target | |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Versions:
    """The base and the fine-tune, of one name in two folders; `changed` bytes differ, `digest` is
    the fine-tune's BLAKE3."""

    base: Source
    tuned: Path
    changed: int
    digest: bytes


@dataclass(slots=True)
class Sent:
    """What the other side grew by, of each round."""

    grew: list[int]


def measure(session: Session) -> Report:
    """All, in turns, each round between fresh stores."""
    versions = _versions(session)
    sent: dict[str, Sent] = {}
    actions: dict[str, Callable[[Path], tuple[Run, int]]] = {
        PEER: lambda folder: _copied(folder, versions)
    }
    if not session.peers_only:
        ours = {
            OURS: lambda folder: _pushed(folder, versions),
            SEALED: lambda folder: _pushed(folder, versions, sealed=True),
        }
        actions = {**ours, **actions}

    def action(name: str) -> Callable[[], Run]:
        def act() -> Run:
            folder = session.work / "ends"
            folder.mkdir()
            try:
                warm_memory(3 * versions.base.size)
                run, grew = actions[name](folder)
            finally:
                shutil.rmtree(folder)
            sent.setdefault(name, Sent([])).grew.append(grew)
            return run

        return act

    runs = alternate({name: action(name) for name in actions}, session.rounds)
    shutil.rmtree(versions.tuned.parent)
    rows = [Row(name, versions.changed, taken) for name, taken in runs.items()]
    mine = [] if session.peers_only else [OURS, SEALED]
    ratios = [ratio(f"{name} / restic", runs[name], runs[PEER], TARGET) for name in mine]
    report = compare("push", rows, ratios, [*_notes(versions, session.rounds), restic.version()])
    shares = [HEADER, *(_share(name, each, versions) for name, each in sent.items())]
    return Report("push", [*report.tables, shares], report.notes)


def _versions(session: Session) -> Versions:
    base = session.source
    folder = session.work / "tuned"
    folder.mkdir()
    tuned = folder / base.path.name
    shutil.copyfile(base.path, tuned)
    changed = base.size // 3
    with open(tuned, "r+b") as file:
        file.seek(changed)
        file.writelines(incompressible(changed, "tuned"))
    digest = blake3(max_threads=blake3.AUTO).update_mmap(tuned).digest()
    return Versions(base, tuned, changed, digest)


def _pushed(folder: Path, versions: Versions, *, sealed: bool = False) -> tuple[Run, int]:
    source = Store(folder / "source", SCHEME)
    dest = SealedStore(folder / "dest", BARE) if sealed else None
    where = folder / "dest"
    more = [f"--their-key-file={folder / 'dest.key'}"] if sealed else ["--erasure", BARE]
    source.add(versions.base)
    source.run("push", str(where), REPOSITORY, *more)
    source.run("add", str(versions.tuned), REPOSITORY)
    before = _size(where, dest)
    run = source.run("push", str(where), REPOSITORY, *more)
    grew = _size(where, dest) - before
    _check(folder, versions, where, more if sealed else [])
    return run, grew


def _size(where: Path, dest: Store | None) -> int:
    return folder_bytes(where) if dest is None else backend_bytes(dest)


def _check(folder: Path, versions: Versions, where: Path, more: list[str]) -> None:
    """BenchError unless a third store gets the fine-tune from there."""
    back = Store(folder / "back", BARE)
    back.run("pull", str(where), REPOSITORY, *more)
    back.run("get", REPOSITORY, str(folder / "out"))
    wrong = "what was pulled is not what was pushed"
    argv = ["cat", str(folder / "out" / versions.tuned.name)]
    check_output(argv, back.environment, versions.digest, wrong)


def _copied(folder: Path, versions: Versions) -> tuple[Run, int]:
    source, dest = restic.Repository(folder / "source"), restic.Repository(folder / "dest")
    source.add(versions.base)
    dest.copy_from(source)
    source.add_all(versions.tuned)
    before = dest.size
    run = dest.copy_from(source)
    return run, dest.size - before


def _share(name: str, sent: Sent, versions: Versions) -> str:
    grew = sorted(sent.grew)[len(sent.grew) // 2]
    more = grew / versions.changed - 1
    verdict = "– | –"
    if name != PEER:
        verdict = f"≤ {OVERHEAD:.0%} | {'met' if more <= OVERHEAD else 'missed'}"
    return f"| {name} | {versions.changed / 1e6:.1f} | {grew / 1e6:.1f} | {more:.2%} | {verdict} |"


def _notes(versions: Versions, rounds: int) -> list[str]:
    size = versions.base.size / 1e9
    return [
        f"one safetensors file of {size:.2f} GB of random BF16, {rounds} rounds, alternating",
        "a third of it is changed in one piece; MB/s are of what changed",
        "everything on tmpfs, fsync on for both; whole-process wall time",
        "each round between fresh stores; a third store gets it from there, off the clock",
    ]
