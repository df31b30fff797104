"""A program for a venv with PyTorch: `torchsaved.py load|save SOURCE RESULT` between formats.

`save` writes the tensors of a safetensors file by `torch.save`, `load` the other way round; the
elements' bytes stay as they are.
"""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import torch

DTYPES = {"F32": torch.float32, "I64": torch.int64}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def read(path: Path) -> dict[str, Any]:
    """The tensors of a safetensors file, in the order of their bytes."""
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, info in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        first, last = (8 + length + end for end in info["data_offsets"])
        data = torch.frombuffer(bytearray(whole[first:last]), dtype=DTYPES[info["dtype"]])
        found[name] = data.reshape(info["shape"])
    return found


def save(source: Path, result: Path) -> None:
    """A state dict in the file's order."""
    torch.save(read(source), result)


def to_safetensors(source: Path, result: Path) -> None:
    """A safetensors file of a state dict, in its order."""
    model = torch.load(source, weights_only=True)
    described: dict[str, object] = {}
    data: list[bytes] = []
    for name, tensor in model.items():
        start = sum(map(len, data))
        data.append(tensor.contiguous().numpy().tobytes())
        described[name] = {
            "dtype": NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, start + len(data[-1])],
        }
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % 8)
    result.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *data]))


if __name__ == "__main__":
    {"save": save, "load": to_safetensors}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
