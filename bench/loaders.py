"""How long real libraries take to load a model from the mount, cold and warm, and from files.

Every library loads from each place in each round, places in turn. Plain files lie on tmpfs, and on
the disk of `--folder` with the page cache dropped: what a model costs that was copied by `get`.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.data import generate
from modelfloat.bench.figures import HEADER, Figure
from modelfloat.bench.harness import drop_page_cache, say, warm_memory
from modelfloat.bench.loads import Load, Loader, loader
from modelfloat.bench.ours import SCHEME, Store
from modelfloat.bench.report import Report
from modelfloat.bench.session import Session

ROUNDS: Final = 3
COLD, WARM, FILE, DISK = "mount, cold", "mount, again", "file on tmpfs", "file on disk, cold"
NAMES: Final = {"safetensors": "load_file", "torch": "torch.load(mmap)", "onnx": "ONNX Runtime"}
GPU: Final = "| straight to CUDA from the mount | no GPU could be had here | – | – | – |"


@dataclass(frozen=True, slots=True)
class Model:
    """A model in the form that a library loads, and what a load of it gives."""

    how: str
    path: Path
    expected: Load


def measure(session: Session) -> Report:
    """Each library's seconds from each place; every load is compared."""
    found: dict[tuple[str, str], list[float]] = {}
    rounds = min(session.rounds, ROUNDS)
    with ExitStack() as stack:
        work = session.work / "loaders"
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        loads = stack.enter_context(loader(session.work))
        models = _models(loads, session, work / "models")
        disk = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix="modelfloat-bench-", dir=session.folder or "/var/tmp"
                )
            )
        )
        shutil.copytree(work / "models", disk, dirs_exist_ok=True)
        store = Store(work / "store")
        store.run("add", str(work / "models"), "acme/rand")
        for number in range(rounds):
            for model in models if number % 2 == 0 else models[::-1]:
                _round(found, loads, model, store, session.work / "mount", disk)
    lines = [*map(str, _figures(found)), GPU]
    return Report("loaders", [[HEADER, *lines]], _notes(_size(session), rounds))


def _models(loads: Loader, session: Session, folder: Path) -> list[Model]:
    folder.mkdir(parents=True)
    paths = {"safetensors": folder / "model.safetensors"}
    generate(paths["safetensors"], _size(session))
    for how, name in (("torch", "model.pt"), ("onnx", "model.onnx")):
        paths[how] = folder / name
        say(f"writing {name}")
        loads.make(how, paths[how], paths["safetensors"])
    return [Model(how, path, loads.load(how, path)) for how, path in paths.items()]


def _size(session: Session) -> int:
    """Half of what other subjects read: here it lies in three forms, one of twice the bytes."""
    return session.size // 2


def _round(
    found: dict[tuple[str, str], list[float]],
    loads: Loader,
    model: Model,
    store: Store,
    point: Path,
    disk: Path,
) -> None:
    def load(place: str, path: Path, *, cold: bool) -> None:
        if cold:
            drop_page_cache()
            warm_memory(2 << 30)
        seconds = loads.load_as(model.expected, model.how, path)
        say(f"{model.how}, {place}: {seconds:.2f} s")
        found.setdefault((model.how, place), []).append(seconds)

    load(FILE, model.path, cold=True)
    load(DISK, disk / model.path.name, cold=True)
    with store.mounted(point, model.path) as path:
        load(COLD, path, cold=True)
        load(WARM, path, cold=False)


def _figures(found: dict[tuple[str, str], list[float]]) -> Sequence[Figure]:
    return [
        Figure(f"{NAMES[how]}, {place}", "s", found[how, place])
        for how in NAMES
        for place in (COLD, WARM, FILE, DISK)
    ]


def _notes(size: int, rounds: int) -> list[str]:
    return [
        f"{size / 1e9:.2f} GB of BF16 as safetensors and as `torch.save` writes it",
        "for ONNX Runtime the same weights as FP32, in external data: a session's start",
        "a load ends with every tensor copied to memory of its own, as a device gets it",
        f"a store of {SCHEME} on tmpfs; {rounds} rounds, libraries imported before",
        "what every load gave is hashed and compared, of the session what it answers",
        "llama.cpp is not among them: its package is source alone, to be compiled",
    ]
