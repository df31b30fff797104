"""Zip directories, pickles and array headers, fuzzed: nothing comes out but regions that cover the
file, or none; a few thousand inputs each by default, a minute each in the slow matrix."""

import io
import pickle
import pickletools
import struct
from pathlib import Path

import numpy as np
import pytest

from modelfloat.cas.chunking import torchtensors
from modelfloat.cas.chunking.npy import NpyParser
from modelfloat.cas.chunking.parser import Parser
from modelfloat.cas.chunking.regions import covers
from modelfloat.cas.chunking.room import Room
from modelfloat.cas.chunking.torchtensors import find_tensors
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.tests.support.fuzzing import Target, fuzz
from modelfloat.tests.support.picklebombs import bombs
from modelfloat.tests.support.sources import BytesSource
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, pickled, torch_zip, zipped

FILES = Path(__file__).parents[1] / "formats" / "torch"
ARCHIVES = [(FILES / name).read_bytes() for name in ("nested.pt", "apart.pt", "constant.pt")]


def feed_with(parser: Parser, data: bytes) -> None:
    """As any file that begins so is cut."""
    regions = parser.parse(BytesSource(data))
    assert regions is None or covers(regions, len(data))


def mend_archive(data: bytes) -> bytes:
    """The end of an archive made to say where the directory is, and how many it has."""
    start = data.find(b"PK\x01\x02")
    ends = [data.find(magic, start) for magic in (b"PK\x06\x06", b"PK\x05\x06")]
    end = min((at for at in ends if at > start), default=-1)
    if not 0 <= start < end:
        return data
    count = data.count(b"PK\x01\x02", start, end)
    last = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, end - start, start, 0)
    return data[:end] + last


def models() -> list[bytes]:
    """Small archives of both formats."""
    tensor = FakeTensor(FakeStorage("HalfStorage", "0", 6), (2, 3))
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(3), b=np.zeros((2, 2), np.int8))
    return [
        torch_zip({"a": {"b": tensor}}, {"0": bytes(12)}),
        torch_zip({"t": tensor}, {"0": bytes(12)}, deflated=["archive/data.pkl"], aligned=False),
        zipped([("x/data.pkl", b"N."), ("x/data/0", b"1")], comment=b"PK\x05\x06"),
        arrays.getvalue(),
    ]


def pickles() -> list[bytes]:
    """What PyTorch and Python write, in every protocol."""
    tensor = FakeTensor(FakeStorage("HalfStorage", "0", 6), (2, 3), parameter=True)
    return [
        *(pickled({"model": {"w": tensor, "b": (tensor, [tensor])}}, p) for p in range(1, 6)),
        *(pickle.dumps([1 << 70, "x", {1: b"y"}, {2}, 1.5, Path("z")], p) for p in range(6)),
        *bombs(2000).values(),
    ]


def feed_pickle(data: bytes) -> None:
    """Tensors are what their storage has room to say, and names are not used twice."""
    found = find_tensors(data, Room.of(len(data)))
    names = [name for tensor in found.tensors for name in tensor.names]
    assert len(names) == len(set(names))
    assert all(tensor.size >= 0 and tensor.offset >= 0 for tensor in found.tensors)


def feed_pickle_in_archive(data: bytes) -> None:
    """An archive with this pickle in it is still covered exactly."""
    file = torch_zip(data, {"0": bytes(12), "1": bytes(7)}, aligned=False)
    regions = ZipParser().parse(BytesSource(file))
    assert regions is not None
    assert covers(regions, len(file))


def arrays() -> list[bytes]:
    """Arrays of several kinds and versions."""
    kinds: list[object] = ["<f4", "?", "<U3", ">i2", [("a", "<f4"), ("b", "S3", (2,))]]
    found = []
    for kind in kinds:
        for version in ((1, 0), (2, 0), (3, 0)):
            out = io.BytesIO()
            np.lib.format.write_array(out, np.zeros((2, 3), kind), version)  # type: ignore[call-overload]
            found.append(out.getvalue())
    return found


def mend_array(data: bytes) -> bytes:
    """A header's length made what it is."""
    end = data.find(b"\n")
    if len(data) < 12 or end < 12:
        return data
    if data[6] == 1:
        return data[:8] + struct.pack("<H", (end - 9) % 65536) + data[10:]
    return data[:8] + struct.pack("<I", end - 11) + data[12:]


OPCODE_WORDS = [op.code.encode("latin-1") for op in pickletools.opcodes]
OPCODE_WORDS += [b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"(K\1K\2t"]
TARGETS: dict[str, Target] = {
    "zip": Target(
        lambda data: feed_with(ZipParser(), data),
        [*ARCHIVES, *models()],
        mend=mend_archive,
        words=[b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06", b"\x01\0\x10\0"],
    ),
    "pickle": Target(feed_pickle, pickles(), words=OPCODE_WORDS),
    "pickle in an archive": Target(feed_pickle_in_archive, pickles()[:5], words=OPCODE_WORDS),
    "npy": Target(
        lambda data: feed_with(NpyParser(), data),
        arrays(),
        mend=mend_array,
        words=[b"(", b"[", b"'", b", ", b"'shape': (", b"'descr': '<f4'", b"True", b"99999999999"],
    ),
}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_comes_out(
    name: str, effort: tuple[int, float, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torchtensors, "STEP_LIMIT", 10_000)  # what contains itself ends sooner
    inputs, seconds, seed = effort
    assert fuzz(TARGETS[name], inputs, seconds, seed) >= inputs
