"""PyTorch's files: what PyTorch wrote is found as PyTorch tells it, and nothing is executed."""

import json
import os
import sys
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from modelfloat.cas.chunking import torchtensors, torchzip
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.chunking.torchtypes import DTYPES
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.cas.formats.regiontable import names_of
from modelfloat.tests.support.sources import BytesSource, cut_all, info, noise, safetensors_file
from modelfloat.tests.support.torchzips import (
    FakeStorage,
    FakeTensor,
    Named,
    Reduced,
    pickled,
    torch_zip,
)

FILES = Path(__file__).parents[1] / "formats" / "torch"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FILES / "expected.json").read_text())


def _parse(file: bytes) -> list[Region] | None:
    regions = ZipParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))
    return regions


def _found(file: bytes) -> list[Region]:
    """The regions of a file that is one of PyTorch's, less headers and the like."""
    regions = _parse(file)
    assert regions is not None
    return [region for region in regions if region.element is not ElementType.BYTES]


def _one(tensor: object, data: bytes = bytes(24), **how: Any) -> list[tuple[str, str, int]]:
    """Name, element and size of each region in an archive of one storage."""
    file = torch_zip(
        {"t": tensor} if isinstance(tensor, FakeTensor) else tensor, {"0": data}, **how
    )
    return [(r.name, r.element.name, r.size) for r in _found(file)]


_LAYER = {"attention.weight": 900_000, "mlp.weight": 2_500_000, "bias": 1536, "norm": 1536}
FLOATS = FakeStorage("FloatStorage", "0", 6)
LONG_NAMES = "\0".join("k" * 511 + str(i) for i in range(7))
BYTES = FakeStorage("UntypedStorage", "0", 24)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "legacy.pt"])
def test_what_pytorch_wrote_is_found(name: str) -> None:
    file = (FILES / name).read_bytes()
    named = {names_of(region)[0]: region for region in _found(file) if region.name}
    assert named.keys() == EXPECTED[name].keys()
    if name == "tied.pt":
        assert [names_of(region) for region in named.values()] == [["embed", "head"]]
    for key, told in EXPECTED[name].items():
        region = named[key]
        assert region.element is DTYPES[told["dtype"]]
        stored = file[region.offset : region.offset + region.size]
        if name == "turned.pt":  # its elements lie in another order than the shape's
            assert list(region.shape) == [*told["shape"], 0, 1, 0]
            assert sorted(stored) == sorted(bytes.fromhex(told["bytes"]))
        else:
            assert list(region.shape) == told["shape"]
            assert stored.hex() == told["bytes"]


def test_files_of_before_the_zip_format_are_cut_as_unknown_bytes() -> None:
    source = BytesSource((FILES / "legacy.pt").read_bytes())
    assert isinstance(open_cutter("legacy.pt", source), CdcCutter)


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "0a1b", "last.ckpt"])
def test_a_file_is_recognised_by_its_contents(name: str) -> None:
    source = BytesSource((FILES / "state_dict.pt").read_bytes())
    assert isinstance(open_cutter(name, source), SpanCutter)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_protocol_is_read(protocol: int) -> None:
    tensor = FakeTensor(FLOATS, (2, 3), parameter=True)
    expected = [] if protocol == 0 else [("t", "F32", 24)]  # in text, a persistent id is its str
    found = _one(tensor, protocol=protocol)
    assert found == (expected or [("", "UNKNOWN", 24)])


def _chunks(name: str, file: bytes) -> dict[bytes, int]:
    """Ids and sizes of the chunks that a file is cut into."""
    position, chunks = 0, {}
    for span in cut_all(open_cutter(name, BytesSource(file)), file, repeat(1 << 22)):
        chunks[blake3(file[position : position + span.size]).digest()] = span.size
        position += span.size
    return chunks


def test_a_converted_model_gives_the_same_chunks() -> None:
    """As many small tensors as in a transformer: they share chunks with what lies beside them."""
    shapes = {f"layer.{i}.{part}": n for i in range(8) for part, n in _LAYER.items()}
    storages, tensors, infos, data = {}, {}, {}, b""
    for i, (name, size) in enumerate(shapes.items()):
        content = noise(i, size)
        storages[str(i)] = content
        tensors[name] = FakeTensor(FakeStorage("BFloat16Storage", str(i), size // 2), (size // 2,))
    for name, size in sorted(shapes.items()):
        content = storages[tensors[name].storage.key]
        infos[name] = info("BF16", [size // 2], len(data), len(data) + size)
        data += content
    torch = _chunks("pytorch_model.bin", torch_zip(tensors, storages))
    converted = _chunks("model.safetensors", safetensors_file(infos, data))
    new = sum(size for id_, size in converted.items() if id_ not in torch)
    assert new <= 0.02 * len(data)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (FakeTensor(FLOATS, (2, 3)), [("t", "F32", 24)]),
        (FakeTensor(FLOATS, (), 2), [("", "F32", 8), ("t", "F32", 4), ("", "F32", 12)]),
        (FakeTensor(FLOATS, (3, 2), strides=(1, 3)), [("t", "F32", 24)]),
        (FakeTensor(FLOATS, (3, 1), strides=(2, 1)), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (6,), strides=(0,)), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (2, 3), strides=(3,)), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (7,)), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (6,), 1), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (6,), 1 << 80), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (1 << 62, 1 << 62)), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (6,), -1), [("", "F32", 24)]),
        (FakeTensor(FLOATS, (0, 1 << 40)), [("", "F32", 24)]),
        (FakeTensor(BYTES, (12,), dtype="float16"), [("t", "F16", 24)]),
        (
            FakeTensor(BYTES, (20,), 4, dtype="float8_e5m2"),
            [("", "F8_E5M2", 4), ("t", "F8_E5M2", 20)],
        ),
        (FakeTensor(BYTES, (3, 8), dtype="float4_e2m1fn_x2"), [("t", "F4", 24)]),
        (FakeTensor(BYTES, (24,), dtype="float1_of_the_future"), [("", "UNKNOWN", 24)]),
        (FakeTensor(BYTES, (24,)), [("", "UNKNOWN", 24)]),
        (FakeTensor(FakeStorage("FloatStorage", "0", 7), (6,)), [("", "UNKNOWN", 24)]),
        (FakeTensor(FakeStorage("FloatStorage", "0", 5), (5,)), [("", "UNKNOWN", 24)]),
        (FakeTensor(FakeStorage("FloatStorage", "1", 6), (6,)), [("", "UNKNOWN", 24)]),
        (FakeTensor(FakeStorage("QuantumStorage", "0", 6), (6,)), [("", "UNKNOWN", 24)]),
    ],
)
def test_a_tensor_in_its_storage(tensor: FakeTensor, expected: list[tuple[str, str, int]]) -> None:
    assert _one(tensor) == expected


@pytest.mark.parametrize(
    ("shape", "strides", "said"),
    [
        ((3, 2), (2, 1), (3, 2)),
        ((3, 2), (1, 3), (3, 2, 0, 1, 0)),
        ((3, 1, 2), (1, 7, 3), (3, 1, 2, 0, 2, 0)),
        ((3, 1, 2), (2, 9, 1), (3, 1, 2)),
        ((1, 2, 3), (0, 1, 2), (1, 2, 3, 0, 2, 1)),
    ],
)
def test_the_order_of_elements_is_told(
    shape: tuple[int, ...], strides: tuple[int, ...], said: tuple[int, ...]
) -> None:
    file = torch_zip({"t": FakeTensor(FLOATS, shape, strides=strides)}, {"0": bytes(24)})
    assert [(r.name, r.shape) for r in _found(file)] == [("t", said)]


def test_a_packed_type_has_the_shape_of_its_elements() -> None:
    for strides, said in (((8, 1), (3, 16)), ((1, 3), (3, 16, 0, 1, 0))):
        tensor = FakeTensor(BYTES, (3, 8), dtype="float4_e2m1fn_x2", strides=strides)
        assert [r.shape for r in _found(torch_zip({"t": tensor}, {"0": bytes(24)}))] == [said]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": FakeTensor(FLOATS, (2,)), "b": FakeTensor(FLOATS, (4,), 2)}, ["a", "b"]),
        ({"a": FakeTensor(FLOATS, (6,)), "b": FakeTensor(FLOATS, (4,), 2)}, ["a"]),
        ({"a": FakeTensor(FLOATS, (3,)), "b": FakeTensor(FLOATS, (4,), 2)}, [""]),
        ({"a": FakeTensor(FLOATS, (6,)), "b": FakeTensor(FLOATS, (6,))}, ["a\0b"]),
        ({"a": (box := [FakeTensor(FLOATS, (6,))]), "b": box}, ["a.0\0b.0"]),
        ({"a": FakeTensor(FLOATS, (6,)), "b": FakeTensor(FLOATS, (2, 3))}, ["a"]),
        ({f"{i}": FakeTensor(FLOATS, (6,)) for i in range(3)}, ["0\0001\0002"]),
        ({"k" * 511 + str(i): FakeTensor(FLOATS, (6,)) for i in range(9)}, [LONG_NAMES]),
        ({str(i): box for i in range(20)}, ["\0".join(f"{i}.0" for i in range(8))]),
        ({"a": {"b": FakeTensor(FLOATS, (6,))}, "a.b": 5}, ["a.b"]),
        ({3: [{None: (FakeTensor(FLOATS, (6,)),)}]}, ["3.0.0"]),
        ({"_modules": {"a": {"_parameters": FakeTensor(FLOATS, (6,))}}}, ["a"]),
        ({(1, 2): FakeTensor(FLOATS, (6,))}, ["?"]),
        ({"k" * 600: FakeTensor(FLOATS, (6,))}, [""]),
        ([FakeTensor(FLOATS, (3,)), FakeTensor(FLOATS, (3,), 3)], ["0", "1"]),
        ({"a.b": FakeTensor(FLOATS, (3,)), "a": {"b": FakeTensor(FLOATS, (3,), 3)}}, ["a.b", ""]),
    ],
)
def test_names(value: object, expected: list[str]) -> None:
    assert [name for name, _, _ in _one(value)] == expected


def test_what_contains_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchtensors, "STEP_LIMIT", 10_000)
    loop: dict[str, object] = {"a": FakeTensor(FLOATS, (6,))}
    loop["b"] = loop
    loop["c"] = [loop, loop]
    assert _one(loop) == [("a", "F32", 24)]


def test_storages_of_two_minds_are_of_unknown_type() -> None:
    halves = FakeTensor(FakeStorage("HalfStorage", "0", 12), (12,))
    assert _one({"a": FakeTensor(FLOATS, (6,)), "b": halves}) == [("", "UNKNOWN", 24)]


def test_elements_of_the_other_byte_order_are_of_unknown_type() -> None:
    how = {"extra": {"byteorder": b"big"}}
    assert _one(FakeTensor(FLOATS, (6,)), **how) == [("t", "UNKNOWN", 24)]


def test_compressed_storages_are_plain_bytes() -> None:
    value = {
        "a": FakeTensor(FLOATS, (6,)),
        "b": FakeTensor(FakeStorage("ByteStorage", "1", 6), (6,)),
    }
    storages = {"0": bytes(24), "1": bytes(6)}
    found = _found(torch_zip(value, storages, deflated=["archive/data/0"]))
    assert [region.name for region in found] == ["b"]


@pytest.mark.parametrize(
    "how",
    [
        {"deflated": ["archive/data.pkl"]},
        {"value": b"no pickle"},
        {"value": b""},
        {"value": b"\x80\x05."},
    ],
    ids=str,
)
def test_without_a_pickle_storages_are_of_unknown_type(how: dict[str, Any]) -> None:
    value = how.pop("value", {"t": FakeTensor(FLOATS, (6,))})
    assert _one(value, **how) == [("", "UNKNOWN", 24)]


def test_a_pickle_beyond_the_limit_is_not_even_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    value = {"t": FakeTensor(FLOATS, (6,))}
    monkeypatch.setattr(torchzip, "PICKLE_LIMIT", len(pickled(value)))
    assert _one(value) == [("t", "F32", 24)]
    monkeypatch.setattr(torchzip, "PICKLE_LIMIT", len(pickled(value)) - 1)
    caplog.set_level("DEBUG")
    assert _one(value) == [("", "UNKNOWN", 24)]
    assert f"is of {len(pickled(value))} bytes, and not read" in caplog.text


def test_what_is_wrong_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    _one({}, deflated=["archive/data.pkl"])
    assert "member 'archive/data.pkl' is compressed, and not read" in caplog.text
    assert "without data.pkl nothing tells the tensors" in caplog.text
    _one(b"no pickle")
    assert "a malformed pickle, read in part only: " in caplog.text
    assert _parse(torch_zip({}, {})[:-1]) is None
    assert "a malformed zip archive, cut as unknown bytes: no end" in caplog.text
    assert all(record.levelname == "DEBUG" for record in caplog.records)


def test_a_pickle_that_breaks_off_still_gives_types_and_places() -> None:
    value = {"a": FakeTensor(FLOATS, (2,)), "b": FakeTensor(FLOATS, (4,), 2), "bad": "x"}
    assert _one(pickled(value)[:-8]) == [("", "F32", 8), ("", "F32", 16)]


def test_nothing_is_imported_or_called(tmp_path: Path) -> None:
    """Each of these, unpickled, would leave a file or a module behind."""
    trace = tmp_path / "trace"
    command = f"touch {trace}"
    code = f"open({str(trace)!r}, 'w')"
    assert "antigravity" not in sys.modules
    hostile: list[object] = [
        Reduced(Named("os", "system"), (command,)),
        Reduced(Named("builtins", "eval"), (code,)),
        Reduced(Named("builtins", "__import__"), ("antigravity",)),
        Reduced(Named("antigravity", "fly"), ()),
        b"cos\nsystem\n(S'" + command.encode() + b"'\ntR.",
        b"(S'" + command.encode() + b"'\nios\nsystem\n.",
        b"(cos\nsystem\nS'" + command.encode() + b"'\no.",
        b"cantigravity\nfly\n)\x81}b.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(command)])
        + command.encode()
        + b"\x85R.",
        b"\x80\x04cantigravity\nfly\n)}\x92.",
        b"\x82\x01.",
    ]
    for value in hostile:
        _one(value)
        if isinstance(value, Reduced):
            assert _one({"t": FakeTensor(FLOATS, (6,)), "x": value}) == [("t", "F32", 24)]
    assert not trace.exists()
    assert "antigravity" not in sys.modules
    os.system(command)  # so this test would notice
    assert trace.exists()
