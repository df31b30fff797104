"""How much memory an add takes, whatever it is given: 200 GB sparse, 20 GB dense, a million files.

RssAnon of the whole command, sampled every 20 ms, in a store of 8+1 on one directory, on a disk.
The sparse file has an island of a mebibyte in every ten gigabytes and is got back, too; its holes
must come back as holes. The dense file is random, so that every chunk of it is new.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

from modelfloat.bench.folders import tiny_files
from modelfloat.bench.harness import BenchError, Run, say
from modelfloat.bench.ours import REPOSITORY, Store
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session

SPARSE: Final = 200_000_000_000
DENSE: Final = 20_000_000_000
FILES: Final = 1_000_000
TARGET: Final = 400_000_000
"""Bytes of RssAnon."""
ISLAND: Final = 1 << 20
APART: Final = 10_000_000_000
AROUND: Final = 4 << 20
"""What comes back around an island: whole chunks, of which it touches three at most."""
STEP: Final = 16 << 20
HEADER: Final = "| what | seconds | GB/s | peak RssAnon MB | target | |\n|---|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Line:
    """One command over `size` bytes."""

    what: str
    size: int
    run: Run

    def __str__(self) -> str:
        peak = self.run.peak_anon or 0
        rate = f"{self.size / self.run.seconds / 1e9:.2f}" if self.size else "–"
        verdict = "met" if peak <= TARGET else "missed"
        return (
            f"| {self.what} | {self.run.seconds:.1f} | {rate} | {peak / 1e6:,.0f} "
            f"| ≤ {TARGET / 1e6:.0f} | {verdict} |"
        )


def measure(session: Session) -> Report:
    """Each source added into a store of its own, one after the other; nothing is left behind."""
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(
        prefix="modelfloat-bench-", dir=session.folder or "/var/tmp"
    ) as folder:
        work = Path(folder)
        lines += _one(
            work,
            f"{SPARSE / 1e9:.0f} GB sparse",
            lambda p: make_sparse(p, SPARSE),
            SPARSE,
            back=True,
        )
        dense = min(DENSE, int((shutil.disk_usage(work).free - 8e9) / 2.2))
        if dense < ISLAND:
            raise BenchError(f"{work.parent} has too little room; give another --folder")
        lines += _one(work, f"{dense / 1e9:.0f} GB dense", lambda p: _dense(p, dense), dense)
        lines += _one(work, f"{FILES:,} files in a folder", lambda p: tiny_files(p, FILES), 0)
    notes = [
        "a store of 8+1 in one directory, the default, on a disk; everything written is synced",
        f"the sparse file has {SPARSE // APART} islands of 1 MiB; its zeros are hashed, not read",
        "the million files hold one byte or none each",
    ]
    return Report("memory", [[HEADER, *map(str, lines)]], notes)


def _one(
    work: Path, what: str, make: Callable[[Path], None], size: int, *, back: bool = False
) -> list[Line]:
    source, target = work / "source", work / "store"
    say(f"making {what}")
    make(source)
    store = Store(target, scheme=None)
    lines = [Line(f"add, {what}", size, store.run("add", str(source), REPOSITORY))]
    say(str(lines[0]))
    if back:
        out = work / "out"
        run = store.run("get", f"{REPOSITORY}/source", str(out))
        status = os.stat(out)
        if status.st_size != size or status.st_blocks * 512 > AROUND * (size // APART + 1):
            raise BenchError(f"{what} came back with {status.st_blocks * 512:,} bytes on the disk")
        lines.append(Line(f"get, {what}", size, run))
        out.unlink()
    store.remove()
    shutil.rmtree(source) if source.is_dir() else source.unlink()
    return lines


def make_sparse(path: Path, size: int) -> None:
    """A file of `size` bytes, holes but for an island of ISLAND bytes at every APART."""
    with open(path, "xb") as file:
        file.truncate(size)
        for offset in range(0, size, APART):
            file.seek(offset)
            file.write(blake3(b"island %d" % offset).digest(length=ISLAND))


def _dense(path: Path, size: int) -> None:
    stream = blake3(b"modelfloat bench dense")
    steps = range(0, size, STEP)
    parts = (stream.digest(length=min(STEP, size - at), seek=at) for at in steps)
    with open(path, "xb") as file:
        file.writelines(parts)
