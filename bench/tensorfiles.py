"""Tensors written as files of several formats, element bytes untouched."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor: its safetensors dtype, its shape, its elements' bytes (little-endian)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


def write_safetensors(path: Path, tensors: Sequence[Tensor]) -> Path:
    """A safetensors file with the tensors in the order given."""
    described: dict[str, object] = {}
    offset = 0
    for tensor in tensors:
        ends = (offset, offset + len(tensor.data))
        described[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": ends,
        }
        offset = ends[1]
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "xb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors:
            file.write(tensor.data)
    return path


def read_safetensors(path: Path) -> list[Tensor]:
    """The tensors of a sound safetensors file, in the order of their bytes."""
    whole = memoryview(path.read_bytes())
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(bytes(whole[8 : 8 + length]))
    header.pop("__metadata__", None)
    body = whole[8 + length :]
    found = sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"]))
    return [
        Tensor(name, info["dtype"], tuple(info["shape"]), body[slice(*info["data_offsets"])])
        for name, info in found
    ]


def one_tensor(path: Path, dtype: str, data: bytes, width: int) -> Path:
    """A safetensors file of a single flat tensor."""
    return write_safetensors(path, [Tensor("weight", dtype, (len(data) // width,), data)])
