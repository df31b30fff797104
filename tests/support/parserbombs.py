"""Files each part of whose structure is within its limit, and that take very much memory together.

`python -m modelfloat.tests.support.parserbombs NAME` parses one of full size, and prints how many
bytes of memory that took.
"""

import struct
import sys
from collections.abc import Callable, Iterable

from modelfloat.cas.chunking.npy import MAGIC
from modelfloat.cas.chunking.onnx import OnnxParser
from modelfloat.cas.chunking.onnxdata import OnnxDataParser
from modelfloat.cas.chunking.parser import Parser
from modelfloat.cas.chunking.safetensors import SafetensorsParser
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.tests.support.memory import fresh_peak, peak
from modelfloat.tests.support.onnxfiles import external, number, tensor, text, varint
from modelfloat.tests.support.sources import BytesSource, Shelf, with_header
from modelfloat.tests.support.torchzips import torch_zip, zipped

Bomb = tuple[Parser, BytesSource]

HEADER = 98_000_000
SMILE = "\U0001f600"


def _large(index: int, count: int) -> list[int]:
    """Numbers that take most as Python has them, no two the same."""
    return [(1 << 60) + index * 64 + k for k in range(count)]


def _safetensors(share: int, member: Callable[[int], str]) -> Bomb:
    parts: list[bytes] = []
    size = 0
    while size < HEADER // share:
        index = len(parts)
        parts.append(f'{member(index)},"data_offsets":[{index},{index + 1}]}}'.encode())
        size += len(parts[-1]) + 1
    header = b"{" + b",".join(parts) + b"}"
    return SafetensorsParser(), BytesSource(with_header(header, bytes(len(parts))))


def long_shapes(share: int) -> Bomb:
    """safetensors: a type that nobody knows, and shapes of 970 numbers."""

    def member(index: int) -> str:
        shape = ",".join(str(300 + (index + j) % 600) for j in range(970))
        return f'"{index}":{{"dtype":"X","shape":[{shape}]'

    return _safetensors(share, member)


def wide_names(share: int) -> Bomb:
    """safetensors: one character of four bytes in each of the longest names."""
    name = "a" * 4070 + SMILE
    return _safetensors(share, lambda i: f'"{i:08d}{name}":{{"dtype":"U8","shape":[1]')


def _dict(entries: Iterable[bytes]) -> bytes:
    """A pickled dict below a long key, of these keys and values."""
    listed = list(entries)
    batches = (b"".join(listed[at : at + 900]) for at in range(0, len(listed), 900))
    return b"}(X\xe0\1\0\0" + b"k" * 480 + b"}" + b"".join(b"(%bu" % b for b in batches) + b"u."


_FUNCTION = b"ctorch._utils\n_rebuild_tensor_v2\n\x940"
_STORAGE = b"(X\x07\0\0\0storagectorch\nByteStorage\nX\1\0\0\0" + b"0X\3\0\0\0cpu"


def _calls(count: int) -> bytes:
    """One tensor, rebuilt again and again from arguments that stand there once."""
    arguments = b"(" + _STORAGE + b"K\x14tQK\0K\x05\x85K\1\x85t\x940"
    keys = (b"J" + struct.pack("<i", j) for j in range(count))
    return _FUNCTION + arguments + _dict(key + b"h\0h\1R" for key in keys)


def same_call(share: int) -> Bomb:
    """PyTorch: one tensor under very many long names."""
    return ZipParser(), BytesSource(torch_zip(_calls(330_000 // share), {"0": bytes(20)}))


def same_call_twice(share: int) -> Bomb:
    """The same in both pickles of an archive."""
    pickle, storage = _calls(330_000 // share), bytes(20)
    extra = {"constants.pkl": pickle, "constants/0": storage}
    return ZipParser(), BytesSource(torch_zip(pickle, {"0": storage}, extra=extra))


def distinct_tensors(share: int) -> Bomb:
    """PyTorch: very many tensors of one byte in one storage."""
    count = 250_000 // share
    shared = b"%bJ%btQ\x940K\1\x85\x940" % (_STORAGE, struct.pack("<i", count))
    numbers = (b"J" + struct.pack("<i", j) for j in range(count))
    pickle = _FUNCTION + shared + _dict(b"%bh\0(h\1%bh\2h\2tR" % (n, n) for n in numbers)
    return ZipParser(), BytesSource(torch_zip(pickle, {"0": bytes(count)}))


def empty_of_large_dimensions(share: int) -> Bomb:
    """ONNX: 63 large dimensions and a 0, and a number for all that."""

    def one(index: int) -> bytes:
        dims = b"\0" + b"".join(map(varint, _large(index, 63)))
        return text(5, text(1, dims) + number(2, 6) + text(8, f"{index:x}") + text(5, b"\1"))

    return _onnx(b"".join(map(one, range(131_000 // share))))


def empty_of_wide_names(share: int) -> Bomb:
    """ONNX: tensors of nothing at all, called after their node's output."""
    inside = text(2, SMILE) + text(5, b"\x52\0" * (1_800_000 // share))
    return _onnx(text(1, inside) + text(5, tensor("w", 1, [1], bytes(4))))


def _onnx(graph: bytes) -> Bomb:
    return OnnxParser(), BytesSource(number(1, 8) + text(7, graph))


def model_of(share: int) -> bytes:
    """An ONNX model of tensors in the file `w.bin`, with all that they may have."""

    def one(index: int) -> bytes:
        where = external(f"{index:06d}{'b' * 1000}{SMILE}", 0, 1)
        name = f"{index:06d}{'c' * 480}{SMILE}"
        return text(5, tensor(name, 99, _large(index, 64), more=where))

    return number(1, 8) + text(7, b"".join(map(one, range(32_700 // share))))


def places_elsewhere(share: int) -> Bomb:
    """External data of an ONNX model."""
    shelf = Shelf("w.bin", {"m.onnx": model_of(share), "w.bin": bytes(100)})
    return OnnxDataParser(), shelf.source("w.bin")


def records(share: int) -> Bomb:
    """NumPy: arrays of records, of 64 large dimensions each."""

    def one(index: int) -> bytes:
        shape = ",".join(map(str, _large(index, 64)))
        header = f"{{'descr': [('a','<f4')], 'fortran_order': False, 'shape': ({shape})}}".encode()
        return MAGIC + b"\1\0" + struct.pack("<H", len(header)) + header + b"x"

    members = ((f"{index:05d}.npy", one(index)) for index in range(65_000 // share))
    return ZipParser(), BytesSource(zipped(members, aligned=False))


BOMBS: dict[str, Callable[[int], Bomb]] = {
    bomb.__name__: bomb
    for bomb in (
        long_shapes,
        wide_names,
        same_call,
        same_call_twice,
        distinct_tensors,
        empty_of_large_dimensions,
        empty_of_wide_names,
        places_elsewhere,
        records,
    )
}
"""What makes them, of the full size divided by its argument."""


if __name__ == "__main__":
    parser, source = BOMBS[sys.argv[1]](1)
    before = fresh_peak()
    parser.parse(source)
    print(peak() - before)
