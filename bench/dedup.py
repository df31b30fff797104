"""What a second file adds to a store that has the first: beside restic, Borg and hf_xet.

A fine-tune of MiniLM that trained a third of it for some real steps, and MiniLM's own tensors in
other files: spread over several, reordered, converted. Everybody gets the first file, then the
second, and both halves of a share are what that system stores: by how much it grew, over what it
takes for the second alone. Ours is without parity, everything else counted.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.finetune import (
    as_gguf,
    as_onnx,
    changed,
    fine_tune,
    reordered,
    resharded,
    torch_saved,
)
from modelfloat.bench.harness import say
from modelfloat.bench.holders import OURS, Holder, holders, peer_versions
from modelfloat.bench.models import MINILM, fetch
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session

TUNED: Final = 0.40
SAME: Final = 0.02
HEADER: Final = (
    "| first | second | who | second alone MB | grew by MB | share | target | |\n"
    "|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A first and a second set of files, and the share that may be new of the second."""

    first: str
    before: Sequence[Path]
    second: str
    after: Sequence[Path]
    target: float


def measure(session: Session) -> Report:
    """Every pair, everywhere."""
    folder = session.work / "pairs"
    folder.mkdir()
    pairs = _pairs(folder)
    rows = []
    with holders(session.work, peers_only=session.peers_only) as makers:
        for pair in pairs:
            say(f"{pair.first}, then {pair.second}")
            rows += [_row(pair, name, make) for name, make in makers.items()]
    shutil.rmtree(folder)
    tensors, size = changed(fetch(MINILM), fine_tune())
    notes = [
        f"the fine-tune changed {tensors:.1%} of the tensors, {size:.1%} of their bytes",
        "hf_xet sends into a folder; its figures are the bytes that it says it sent",
    ]
    versions = ", ".join(peer_versions(session.work))
    return Report("dedup", [[HEADER, *rows]], [*notes, versions])


def _pairs(folder: Path) -> list[Pair]:
    plain, name = [fetch(MINILM)], "safetensors"
    saved = [torch_saved(folder)]
    return [
        Pair(name, plain, "the fine-tune", [fine_tune()], TUNED),
        Pair(name, plain, "the same re-sharded", resharded(folder), SAME),
        Pair(name, plain, "the same reordered", [reordered(folder)], SAME),
        Pair("PyTorch zip", saved, "the same as safetensors", plain, SAME),
        Pair(name, plain, "the same as PyTorch zip", saved, SAME),
        Pair(name, plain, "the same as GGUF", [as_gguf(folder)], SAME),
        Pair(name, plain, "the same as ONNX", [as_onnx(folder)], SAME),
    ]


def _row(pair: Pair, name: str, make: Callable[[], Holder]) -> str:
    alone = _sizes(make, pair.after)[-1]
    before, both = _sizes(make, pair.before, pair.after)
    share = (both - before) / alone
    verdict = "– | –"
    if name == OURS:
        verdict = f"≤ {pair.target:.0%} | {'met' if share <= pair.target else 'missed'}"
    figures = f"{alone / 1e6:.2f} | {(both - before) / 1e6:.2f} | {share:.1%}"
    return f"| {pair.first} | {pair.second} | {name} | {figures} | {verdict} |"


def _sizes(make: Callable[[], Holder], *sets: Sequence[Path]) -> list[int]:
    """What a fresh holder takes after each of these sets of files."""
    holder = make()
    sizes = []
    try:
        for paths in sets:
            holder.put(*paths)
            sizes.append(holder.size)
    finally:
        holder.remove()
    return sizes
