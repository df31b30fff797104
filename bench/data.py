"""The files that the subjects move: valid safetensors files of BF16 layers, as in most models.

What the layers hold is said by a stream of blocks. By default they are BLAKE3's extended output
for a fixed input: no codec can shrink them, so a store that knows weights pays for its attempt,
and they are the same on every machine.
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blake3 import blake3

WEIGHT: Final = (4096, 4096)
NORM: Final = (4096,)
WEIGHT_SIZE: Final = 2 * 4096 * 4096
NORM_SIZE: Final = 2 * 4096
LAYER_SIZE: Final = WEIGHT_SIZE + NORM_SIZE
STEP: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """A file and what a reader of it must get: `size` bytes that hash to the BLAKE3 `digest`."""

    path: Path
    size: int
    digest: bytes


def incompressible(size: int, seed: str = "") -> Iterator[bytes]:
    """`size` bytes that nothing can shrink, in blocks; others for another seed."""
    stream = blake3(b"modelfloat bench" + seed.encode())
    for offset in range(0, size, STEP):
        yield stream.digest(length=min(STEP, size - offset), seek=offset)


def generate(
    path: Path, size: int, blocks: Callable[[int], Iterator[bytes]] = incompressible
) -> Source:
    """Write a safetensors file of BF16 layers, the fewest that make `size` bytes."""
    layers = -(-size // LAYER_SIZE)
    header = _header(layers)
    seen = blake3(header)
    end = layers * LAYER_SIZE
    with open(path, "xb") as file:
        file.write(header)
        for block in blocks(end):
            seen.update(block)
            file.write(block)
    return Source(path, len(header) + end, seen.digest())


def _header(layers: int) -> bytes:
    """The safetensors header: eight bytes of length, then JSON padded to a multiple of eight."""
    tensors: dict[str, object] = {}
    for layer in range(layers):
        start = layer * LAYER_SIZE
        middle, end = start + WEIGHT_SIZE, start + LAYER_SIZE
        name = f"model.layers.{layer}"
        tensors[f"{name}.mlp.weight"] = _tensor(WEIGHT, start, middle)
        tensors[f"{name}.norm.weight"] = _tensor(NORM, middle, end)
    text = json.dumps(tensors, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _tensor(shape: tuple[int, ...], start: int, end: int) -> dict[str, object]:
    return {"dtype": "BF16", "shape": shape, "data_offsets": (start, end)}
