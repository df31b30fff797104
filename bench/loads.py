"""Loads in a process of its own, with PyTorch: timed, and what was loaded compared."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelfloat.bench.harness import BenchError
from modelfloat.bench.peers.install import modules

PACKAGES: Final = ("torch", "numpy", "safetensors", "blake3", "onnxruntime")
PROGRAM: Final = Path(__file__).with_name("loading.py")


@dataclass(frozen=True, slots=True)
class Load:
    """One load: its seconds, and what it loaded."""

    seconds: float
    digest: str


def load(how: str, path: Path, *, prefetched: bool = False) -> Load:
    """What `loading.py` tells; BenchError with its last line where it fails."""
    argv = [modules("torch", *PACKAGES), str(PROGRAM), how, str(path)]
    argv += ["prefetched"] * prefetched
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"{how} could not load {path.name}: {reason}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Load(told["seconds"], told["digest"])


def load_as(expected: Load, how: str, path: Path, *, prefetched: bool = False) -> Load:
    """The same; BenchError where it loaded something else than `expected`."""
    found = load(how, path, prefetched=prefetched)
    if found.digest != expected.digest:
        raise BenchError(f"{how} loaded other bytes from {path.name} than from the original")
    return found
