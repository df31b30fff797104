"""Safetensors files of named tensors, for tests that compare what is in them."""

import json
from collections.abc import Mapping
from pathlib import Path

from modelfloat.tests.support.samples import noise

Tensor = tuple[str, list[int], bytes]
"""Element type, shape, bytes."""


def u8(label: str, size: int) -> Tensor:
    """A tensor of `size` random bytes that the label stands for."""
    return "U8", [size], noise(label, size)


def write(path: Path, tensors: Mapping[str, Tensor]) -> Path:
    """Write a safetensors file of these tensors, in this order."""
    info, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        info[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    header = json.dumps(info).encode()
    body = b"".join(data for _, _, data in tensors.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path
