"""safetensors files: mapped lazily, by slices, from threads, and read whole."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from answers import main, told
from safetensors import safe_open
from safetensors.numpy import load, load_file, save_file

SHARDS = [f"model-{i:05}-of-00003.safetensors" for i in (1, 2, 3)]


def make(folder: str) -> None:
    """Three shards of tensors of several megabytes."""
    chance = np.random.default_rng(1)
    for i, shard in enumerate(SHARDS):
        tensors = {
            f"layers.{i}.{part}": chance.standard_normal((700, 500 * (part + 1)), np.float32)
            for part in range(3)
        }
        save_file(tensors, Path(folder, shard))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether two files hold the same tensors."""
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


def by_slices(path: Path) -> dict[str, np.ndarray]:
    """Each tensor in two halves of its columns, as tensor parallelism takes them."""
    with safe_open(path, "np") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        middle = {name: part.get_shape()[1] // 2 for name, part in parts.items()}
        return {
            name: np.concatenate([part[:, : middle[name]], part[:, middle[name] :]], axis=1)
            for name, part in parts.items()
        }


def read_ahead(path: Path) -> None:
    """Read a file into the page cache in large steps, as vLLM's strategy `prefetch` does."""
    with path.open("rb", buffering=0) as file:
        while file.read(16 << 20):
            pass


def check_torch(plain: Path, mounted: Path) -> None:
    """PyTorch's reader of the same files."""
    import torch
    from safetensors.torch import load_file as load_torch

    wanted, loaded = load_torch(plain), load_torch(mounted)
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)


def check(folder: str, mounted: str) -> None:
    """Every way gives the tensors that were saved."""
    plain = {shard: load_file(Path(folder, shard)) for shard in SHARDS}
    paths = [Path(mounted, shard) for shard in SHARDS]
    ways = ["load_file", "slices", "threads", "whole", "prefetch"]
    assert all(same(load_file(path), plain[path.name]) for path in paths)
    assert all(same(by_slices(path), plain[path.name]) for path in paths)
    with ThreadPoolExecutor(3) as threads:
        loaded = list(threads.map(load_file, paths))
    assert all(same(one, plain[path.name]) for one, path in zip(loaded, paths, strict=True))
    for path in paths:
        assert same(load(path.read_bytes()), plain[path.name])
        read_ahead(path)
        assert same(load_file(path), plain[path.name])
    if find_spec("torch"):
        check_torch(Path(folder, SHARDS[0]), paths[0])
        ways.append("torch")
    told("safetensors", ways=ways)


if __name__ == "__main__":
    main(make, check)
