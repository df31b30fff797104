"""Loads by real libraries, in a process of their own: timed, and what was loaded compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import modules
from modelfloat.bench.peers.worker import Worker, worker

PACKAGES: Final = ("torch", "numpy", "safetensors", "blake3", "onnxruntime", "onnx")


@dataclass(frozen=True, slots=True)
class Load:
    """One load: its seconds, and what it loaded."""

    seconds: float
    digest: str


class Loader:
    """A running `peers/loading.py`, which has imported its libraries."""

    def __init__(self, running: Worker) -> None:
        self._worker = running

    def load(self, how: str, path: Path, *, ahead: bool = False) -> Load:
        """One load; BenchError where the library fails."""
        told = self._worker.ask(how=how, path=str(path), ahead=ahead)
        return Load(told["seconds"], told["digest"])

    def load_as(self, expected: Load, how: str, path: Path, *, ahead: bool = False) -> float:
        """The seconds of a load; BenchError where it loaded something else than `expected`."""
        found = self.load(how, path, ahead=ahead)
        if found.digest != expected.digest:
            raise BenchError(f"{how} loaded other bytes from {path.name} than from the original")
        return found.seconds

    def make(self, how: str, path: Path, of: Path) -> None:
        """Write the tensors of the safetensors file `of` for another library."""
        self._worker.ask(make=how, path=str(path), of=str(of))


@contextmanager
def loader(work: Path) -> Iterator[Loader]:
    """It runs as long as the block; its log lies in `work`."""
    with worker(modules("torch", *PACKAGES), "loading.py", work) as running:
        yield Loader(running)
