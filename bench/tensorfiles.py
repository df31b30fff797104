"""Tensors written as files of several formats, element bytes untouched."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final


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


GGUF_VERSION: Final = 3
GGUF_ALIGNMENT: Final = 32
GGML_F32: Final = 0


def write_gguf(path: Path, tensors: Sequence[Tensor]) -> Path:
    """A GGUF file of FP32 tensors, by the specification in the ggml repository (docs/gguf.md)."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", GGUF_VERSION, len(tensors), 1)
    head += text("general.architecture") + struct.pack("<I", 8) + text("bert")
    offset = 0
    for tensor in tensors:
        sizes = struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape))
        described = struct.pack("<I", len(tensor.shape)) + sizes
        head += text(tensor.name) + described + struct.pack("<IQ", GGML_F32, offset)
        offset += len(tensor.data) + -len(tensor.data) % GGUF_ALIGNMENT
    with open(path, "xb") as file:
        file.write(head + bytes(-len(head) % GGUF_ALIGNMENT))
        for tensor in tensors:
            file.write(tensor.data)
            file.write(bytes(-len(tensor.data) % GGUF_ALIGNMENT))
    return path


ONNX_FLOAT: Final = 1


def write_onnx(path: Path, tensors: Sequence[Tensor]) -> Path:
    """An ONNX model of FP32 initializers and no nodes (onnx.proto: ModelProto 7, GraphProto 5)."""
    heads = [_onnx_tensor_head(tensor) for tensor in tensors]
    graph = _field(2, b"weights")
    size = len(graph) + sum(
        len(_key(5, len(head) + len(tensor.data))) + len(head) + len(tensor.data)
        for head, tensor in zip(heads, tensors, strict=True)
    )
    with open(path, "xb") as file:
        file.write(b"\x08\x08" + _key(7, size) + graph)
        for head, tensor in zip(heads, tensors, strict=True):
            file.write(_key(5, len(head) + len(tensor.data)) + head)
            file.write(tensor.data)
    return path


def _onnx_tensor_head(tensor: Tensor) -> bytes:
    """A TensorProto up to its raw data: dims 1, data_type 2, name 8, raw_data 9."""
    dims = b"".join(b"\x08" + _varint(each) for each in tensor.shape)
    kind = b"\x10" + _varint(ONNX_FLOAT)
    return dims + kind + _field(8, tensor.name.encode()) + _key(9, len(tensor.data))


def _field(number: int, data: bytes) -> bytes:
    return _key(number, len(data)) + data


def _key(number: int, length: int) -> bytes:
    """The key and length of a length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
