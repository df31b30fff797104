"""A small writer of ONNX models for tests: protobuf by hand, so that it can also write lies."""

import struct
from collections.abc import Iterable, Sequence

from modelfloat.cas.chunking import onnxtensor
from modelfloat.cas.chunking.regions import ElementType

TYPES = {element: number for number, element in onnxtensor._TYPES.items()}
FLOAT, INT64, STRING, FLOAT16, DOUBLE = 1, 7, 8, 10, 11


def varint(number: int) -> bytes:
    """A number as protobuf writes it; a negative one in ten bytes."""
    number %= 1 << 64
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3) + varint(value)


def text(field: int, value: str | bytes) -> bytes:
    """A field that is text, bytes or a message."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def floats(values: Iterable[float]) -> bytes:
    """`float_data`."""
    return text(4, struct.pack(f"<{len(list(values))}f", *values))


def external(location: str | bytes, offset: int | str | None, length: int | str | None) -> bytes:
    """The fields of a tensor that says where its bytes lie in another file."""
    notes = [("location", location), ("offset", offset), ("length", length)]
    written = [
        text(13, text(1, key) + text(2, value if isinstance(value, bytes) else str(value)))
        for key, value in notes
        if value is not None
    ]
    return b"".join(written) + number(14, 1)


def tensor(
    name: str | bytes,
    type_: ElementType | int,
    shape: Sequence[int],
    data: bytes | None = None,
    *,
    more: bytes = b"",
    packed: bool = True,
) -> bytes:
    """A `TensorProto` with raw data, or with the fields `more`."""
    dims = b"".join(map(varint, shape))
    parts = [text(1, dims)] if packed else [number(1, size) for size in shape]
    parts.append(number(2, TYPES[type_] if isinstance(type_, ElementType) else type_))
    parts.append(text(8, name) if name else b"")
    parts.append(b"" if data is None else text(9, data))
    return b"".join(parts) + more


def attribute(name: str, field: int, *messages: bytes) -> bytes:
    """An `AttributeProto`: 5 and 10 hold tensors, 6 and 11 graphs, 22 and 23 sparse tensors."""
    type_ = number(20, {5: 4, 6: 5, 10: 9, 11: 10, 22: 11, 23: 12}[field])
    return text(1, name) + b"".join(text(field, message) for message in messages) + type_


def node(op: str, inputs: Iterable[str], outputs: Iterable[str], *attributes: bytes) -> bytes:
    """A `NodeProto`."""
    parts = [text(1, name) for name in inputs] + [text(2, name) for name in outputs]
    return b"".join([*parts, text(4, op), *(text(5, one) for one in attributes)])


def value_info(name: str, type_: int, shape: Sequence[int]) -> bytes:
    """A `ValueInfoProto`: an input or output."""
    dims = b"".join(text(1, number(1, size)) for size in shape)
    return text(1, name) + text(2, text(1, number(1, type_) + text(2, dims)))


def graph(
    nodes: Iterable[bytes] = (),
    initializers: Iterable[bytes] = (),
    sparse: Iterable[bytes] = (),
    inputs: Iterable[bytes] = (),
    outputs: Iterable[bytes] = (),
) -> bytes:
    """A `GraphProto`."""
    parts = [text(1, one) for one in nodes] + [text(2, "graph")]
    parts += [text(5, one) for one in initializers] + [text(15, one) for one in sparse]
    parts += [text(11, one) for one in inputs] + [text(12, one) for one in outputs]
    return b"".join(parts)


def model(main: bytes, *, more: bytes = b"", producer: str = "tests") -> bytes:
    """A `ModelProto` of IR version 8 and opset 17."""
    head = number(1, 8) + text(2, producer)
    return head + text(7, main) + more + text(8, text(1, "") + number(2, 17))


def simple(*tensors: bytes) -> bytes:
    """A model of these initializers and nothing else."""
    return model(graph(initializers=tensors))
