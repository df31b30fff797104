"""A fine-tune of MiniLM that really trained a third of it, and the same tensors in other files."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from modelfloat.bench.harness import BenchError, say
from modelfloat.bench.loads import PACKAGES
from modelfloat.bench.models import FOLDER, MINILM, VOCABULARY, fetch
from modelfloat.bench.peers.install import modules
from modelfloat.bench.peers.worker import PROGRAMS
from modelfloat.bench.tensorfiles import (
    Tensor,
    read_safetensors,
    write_gguf,
    write_onnx,
    write_safetensors,
)

STEPS: Final = 8
SHARDS: Final = 3
DENSE: Final = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


def trained_names() -> list[str]:
    """What is trained: a third of the tensors, which hold a third of the bytes.

    The dense weights of four of six layers, the attention's of a fifth, and biases up to a third of
    all tensors; the word embeddings, half of the file, stay as they were.
    """
    layers = [f"encoder.layer.{number}.{part}" for number in range(2, 6) for part in DENSE]
    fifth = [f"encoder.layer.1.{part}" for part in DENSE[:4]]
    weights = [f"{name}.weight" for name in (*layers, *fifth)]
    biases = [f"{name}.bias" for name in layers[: len(DENSE)]]
    return [*weights, *biases]


def fine_tune() -> Path:
    """The fine-tune as a safetensors file, its tensors in the original's order; made once."""
    path = FOLDER / "minilm-tuned.safetensors"
    if not path.exists():
        say(f"fine-tuning MiniLM, {STEPS} steps")
        with TemporaryDirectory(dir=FOLDER) as scratch:
            partial, saved = Path(scratch) / path.name, Path(scratch) / "tuned.bin"
            source, words = torch_saved(Path(scratch)), fetch(VOCABULARY)
            _program("training.py", source, words, saved, STEPS, *trained_names())
            _program("torchsaved.py", "load", saved, partial)
            partial.rename(path)
    return path


def changed(before: Path, after: Path) -> tuple[float, float]:
    """Which part of the tensors, and of their bytes, differs between two files."""
    old = {tensor.name: tensor.data for tensor in read_safetensors(before)}
    new = {tensor.name: tensor.data for tensor in read_safetensors(after)}
    if old.keys() != new.keys():
        raise BenchError("the fine-tune has other tensors than its original; remove it")
    differing = [name for name in old if old[name] != new[name]]
    size = sum(len(old[name]) for name in differing)
    return len(differing) / len(old), size / sum(map(len, old.values()))


def torch_saved(folder: Path) -> Path:
    """MiniLM's tensors by `torch.save`."""
    path = folder / "pytorch_model.bin"
    _program("torchsaved.py", "save", fetch(MINILM), path)
    return path


def resharded(folder: Path) -> list[Path]:
    """MiniLM's tensors spread over several safetensors files, with their index."""
    tensors = read_safetensors(fetch(MINILM))
    step = -(-len(tensors) // SHARDS)
    paths: list[Path] = []
    index: dict[str, str] = {}
    for number in range(SHARDS):
        name = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        part = tensors[number * step : (number + 1) * step]
        paths.append(write_safetensors(folder / name, part))
        index |= {tensor.name: name for tensor in part}
    listed = folder / "model.safetensors.index.json"
    listed.write_text(json.dumps({"metadata": {}, "weight_map": index}, indent=2))
    return [*paths, listed]


def reordered(folder: Path) -> Path:
    """MiniLM's tensors in one file, backwards."""
    tensors = read_safetensors(fetch(MINILM))
    return write_safetensors(folder / "reordered.safetensors", tensors[::-1])


def as_gguf(folder: Path) -> Path:
    """MiniLM's tensors in a GGUF file."""
    return write_gguf(folder / "model.gguf", _tensors_of_floats())


def as_onnx(folder: Path) -> Path:
    """MiniLM's tensors as initializers of an ONNX file."""
    return write_onnx(folder / "model.onnx", _tensors_of_floats())


def _tensors_of_floats() -> Sequence[Tensor]:
    return [tensor for tensor in read_safetensors(fetch(MINILM)) if tensor.dtype == "F32"]


def _program(name: str, *arguments: object) -> None:
    """Run a program of the peers with PyTorch; `BenchError` with its last line when it fails."""
    python = modules("torch", *PACKAGES)
    argv = [python, "-W", "ignore", str(PROGRAMS / name), *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BenchError(f"{name} failed: {reason}")
    for line in done.stdout.splitlines():
        say(line)
