"""torch.load: the file read, mapped, and through a file object."""

from pathlib import Path

import torch
from answers import main, told


def make(folder: str) -> None:
    """A state dict with a tied weight."""
    torch.manual_seed(1)
    weights = {f"layer.{i}": torch.randn(900, 700) for i in range(4)}
    torch.save(weights | {"tied": weights["layer.0"]}, Path(folder, "model.pt"))


def check(folder: str, mounted: str) -> None:
    """The same tensors every way."""
    wanted = torch.load(Path(folder, "model.pt"), weights_only=True)
    path = Path(mounted, "model.pt")
    for options in ({}, {"mmap": True}, {"mmap": True, "map_location": "cpu"}):
        loaded = torch.load(path, weights_only=True, **options)
        assert loaded.keys() == wanted.keys()
        assert all(torch.equal(loaded[name], wanted[name]) for name in wanted), options
    with path.open("rb") as file:
        loaded = torch.load(file, weights_only=True)
    assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)
    told("torch", ways=["read", "mmap", "file object"])


if __name__ == "__main__":
    main(make, check)
