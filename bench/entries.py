"""How many index entries a gigabyte of models needs: beside content-defined chunks of 64 KiB.

Ours counts every entry that `add` of the file alone leaves in the index, its tree, commit and
manifest too. The peers are the same FastCDC that cuts unknown bytes here, told 64 KiB, and hf_xet,
whose chunks are about as large.
"""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Final

from modelfloat.bench.finetune import fine_tune
from modelfloat.bench.harness import say
from modelfloat.bench.models import MODELS, casts, fetch
from modelfloat.bench.ours import REPOSITORY, Store
from modelfloat.bench.peers import fastcdc
from modelfloat.bench.peers.xet import Xet, xet
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session
from modelfloat.bench.stored import BARE
from modelfloat.cas.index.index import Index

TARGET: Final = 0.1
HEADER: Final = (
    "| file | MB | ours | FastCDC 64 KiB | hf_xet | ours a GB | FastCDC a GB | ours / FastCDC "
    "| target | | ours / hf_xet |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def measure(session: Session) -> Report:
    """Every file, and all of them together."""
    files = [(model.title, fetch(model)) for model in MODELS]
    files += [*casts(), ("a fine-tune of all-MiniLM-L6-v2", fine_tune())]
    files += [(path.name, path) for path in session.also]
    files.append(("layers of 4096 × 4096, BF16", session.weights.path))
    counts = []
    with xet(session.work) as client:
        for title, path in files:
            say(title)
            counts.append((title, path.stat().st_size, *_counts(path, session.work, client)))
        version = client.version
    totals = (sum(each) for each in zip(*(c[1:] for c in counts), strict=True))
    rows = [_row(*count) for count in counts]
    rows.append(_row("all of them", *totals))
    notes = [
        "ours: each file alone in a fresh store; data, manifest, tree and commit",
        "FastCDC told 64 KiB cuts some 80 KiB on average, hf_xet 64 KiB",
    ]
    return Report("entries", [[HEADER, *rows]], [*notes, version])


def _counts(path: Path, work: Path, client: Xet) -> tuple[int, int, int]:
    """Ours, FastCDC's and hf_xet's entries of one file."""
    store = Store(work / "target", BARE)
    try:
        store.run("add", str(path), REPOSITORY)
        with closing(Index.open(str(store.path / "index"))) as index:
            ours = sum(pack.chunk_count for pack in index.packs())
    finally:
        store.remove()
    sent = work / "sent"
    try:
        return ours, fastcdc.chunk_count(path), client.add(sent, path).chunks
    finally:
        shutil.rmtree(sent)


def _row(title: str, size: int, ours: int, cdc: int, xet_chunks: int) -> str:
    giga, share = size / 1e9, ours / cdc
    counts = f"{ours:,} | {cdc:,} | {xet_chunks:,} | {ours / giga:,.0f} | {cdc / giga:,.0f}"
    verdict = "met" if share <= TARGET else "missed"
    shares = f"{share:.3f} | ≤ {TARGET} | {verdict} | {ours / xet_chunks:.3f}"
    return f"| {title} | {size / 1e6:.1f} | {counts} | {shares} |"
