"""A writer of GGUF files for tests, which also writes what no file should say."""

import struct
from dataclasses import dataclass, field
from typing import Any

from modelfloat.cas.chunking.regions import GGML, ElementType

U8, U32, F32, BOOL, STRING, ARRAY, U64 = 0, 4, 6, 7, 8, 9, 10
PLAIN = {"F32": 0, "F16": 1, "I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28, "BF16": 30}
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q"}
FORMATS |= {12: "d"}


def type_id(element: ElementType) -> int:
    """ggml's number of a type."""
    return element - GGML if element.quantised else PLAIN[element.name]


@dataclass
class Tensor:
    """A tensor: its shape with the slowest dimension first. `offset` and `type` may lie."""

    name: str | bytes
    shape: tuple[int, ...]
    element: ElementType
    data: bytes
    offset: int | None = None
    type: int | None = None
    dimensions: int | None = None


@dataclass
class GgufFile:
    """A file to be; `count` and `key_count` lie unless they are None."""

    tensors: list[Tensor] = field(default_factory=list)
    keys: list[tuple[str | bytes, int, Any]] = field(default_factory=list)
    version: int = 3
    alignment: int = 32
    count: int | None = None
    key_count: int | None = None
    tail: bytes = b""

    def number(self, value: int) -> bytes:
        """A count or length, as long as this version has them."""
        return struct.pack("<I" if self.version == 1 else "<Q", value)

    def text(self, value: str | bytes) -> bytes:
        """A string, or raw bytes as one."""
        data = value.encode() if isinstance(value, str) else value
        return self.number(len(data)) + data

    def value(self, kind: int, value: Any) -> bytes:
        """A value of the metadata; bytes for an array or string stand as they are."""
        if isinstance(value, bytes):
            return value
        if kind == STRING:
            return self.text(value)
        if kind == ARRAY:
            inner, items = value
            head = struct.pack("<I", inner) + self.number(len(items))
            return head + b"".join(self.value(inner, item) for item in items)
        return struct.pack("<" + FORMATS[kind], value)

    def head(self) -> bytes:
        """Everything before the padding that the tensors begin behind."""
        keys = self.keys
        if self.alignment != 32:
            keys = [("general.alignment", U32, self.alignment), *keys]
        count = len(self.tensors) if self.count is None else self.count
        key_count = len(keys) if self.key_count is None else self.key_count
        parts = [b"GGUF", struct.pack("<I", self.version), self.number(count)]
        parts.append(self.number(key_count))
        for key, kind, value in keys:
            parts += [self.text(key), struct.pack("<I", kind), self.value(kind, value)]
        at = 0
        for tensor in self.tensors:
            parts.append(self.info(tensor, at if tensor.offset is None else tensor.offset))
            at += len(tensor.data) + -len(tensor.data) % self.alignment
        return b"".join(parts)

    def info(self, tensor: Tensor, offset: int) -> bytes:
        """One entry of the list of tensors."""
        rank = len(tensor.shape) if tensor.dimensions is None else tensor.dimensions
        type_ = type_id(tensor.element) if tensor.type is None else tensor.type
        sizes = b"".join(map(self.number, tensor.shape[::-1]))
        head = self.text(tensor.name) + struct.pack("<I", rank)
        return head + sizes + struct.pack("<IQ", type_, offset)

    def bytes(self) -> bytes:
        """The file. Nothing is padded behind the last tensor."""
        out = bytearray(self.head())
        for tensor in self.tensors:
            out += bytes(-len(out) % self.alignment) + tensor.data
        return bytes(out + self.tail)
