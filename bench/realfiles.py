"""How small real models are stored, beside zipnn, zstd, restic and Borg.

The models come out of packages that ship them, two of them cast to other types; `--also FILE` adds
more. Ours is a fresh store without parity that holds that file alone, by `add`, with its tables,
checksums, manifests and journal. zipnn gets the whole file as one buffer and the dtype that suits
it best, zstd one frame of the whole file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import say
from modelfloat.bench.models import MODELS, casts, fetch
from modelfloat.bench.peers import borg, restic
from modelfloat.bench.peers.compressed import Compressed, compressed
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.bench.stored import stored_alone

TOLERANCE: Final = 1.01
"""How much larger than the smaller of zipnn and zstd -3 a file may become."""
LEVEL: Final = "3"
HEADER: Final = (
    "| file | MB | ours | ours, small | zipnn (its dtype) | zstd -3 | restic | Borg "
    "| ours / smaller of zipnn, zstd | target | |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """What one file takes everywhere, in bytes; `ours` at the efforts balanced and small."""

    raw: int
    ours: tuple[int, int] | None
    zipnn: Compressed
    zstd: int
    restic: int
    borg: int


def measure(session: Session) -> Report:
    """Every file, everywhere."""
    files = [(model.title, fetch(model)) for model in MODELS]
    files += [*casts(), *((path.name, path) for path in session.also)]
    rows, versions = [], []
    with compressed(session.work) as compress:
        versions = compress.versions
        for title, path in files:
            say(title)
            sizes = _sizes(path, session, compress.zipnn(path), compress.zstd(path, LEVEL))
            rows.append(_row(title, sizes))
    notes = [
        "parts of the file's own size; ours without parity, everything else counted",
        "restic and Borg: what a fresh repository grew by; zipnn, zstd: the bytes that came out",
    ]
    return Report(
        "realfiles",
        [[HEADER, *rows]],
        [*notes, ", ".join([*versions, restic.version(), borg.version()])],
    )


def _sizes(path: Path, session: Session, zipnn: Compressed, zstd: int) -> Sizes:
    target = session.work / "target"
    ours = None
    if not session.peers_only:
        balanced, small = (stored_alone(target, path, effort=e) for e in ("balanced", "small"))
        ours = balanced, small
    return Sizes(
        path.stat().st_size,
        ours,
        zipnn,
        zstd,
        _grown(restic.Repository, target, path),
        _grown(borg.Repository, target, path),
    )


def _grown(
    make: Callable[[Path], restic.Repository | borg.Repository], target: Path, path: Path
) -> int:
    """What a repository grows by when it gets a file."""
    repository = make(target)
    try:
        empty = repository.size
        repository.add_all(path)
        return repository.size - empty
    finally:
        repository.remove()


def _row(title: str, sizes: Sizes) -> str:
    def part(size: int) -> str:
        return f"{size / sizes.raw:.4f}"

    ours, verdict = "– | –", "– | – | –"
    if sizes.ours is not None:
        ours = " | ".join(map(part, sizes.ours))
        found = sizes.ours[0] / min(sizes.zipnn.size, sizes.zstd)
        verdict = f"{found:.4f} | ≤ {TOLERANCE} | {'met' if found <= TOLERANCE else 'missed'}"
    return (
        f"| {title} | {sizes.raw / 1e6:.1f} | {ours} "
        f"| {part(sizes.zipnn.size)} ({sizes.zipnn.setting}) | {part(sizes.zstd)} "
        f"| {part(sizes.restic)} | {part(sizes.borg)} | {verdict} |"
    )
