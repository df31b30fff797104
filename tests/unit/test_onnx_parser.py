"""The ONNX parser: tensors are found wherever they stand, lying files are left to FastCDC."""

import logging
import struct
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from modelfloat.cas.chunking import cursor as cursor_module
from modelfloat.cas.chunking import onnx as subject
from modelfloat.cas.chunking import protobuf, room
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.onnx import OnnxParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.tests.support.bounds import LongSource, peak
from modelfloat.tests.support.onnxfiles import (
    DOUBLE,
    FLOAT,
    FLOAT16,
    INT64,
    STRING,
    TYPES,
    attribute,
    external,
    floats,
    graph,
    model,
    node,
    number,
    simple,
    tensor,
    text,
    value_info,
    varint,
)
from modelfloat.tests.support.sources import BrokenSource, BytesSource, noise

E = ElementType
MEMORY = 200 << 20
SHARE = 64
DATA = noise(1, 24)
GOOD = tensor("t", E.F32, (2, 3), DATA)


def _parse(file: bytes) -> list[Region] | None:
    regions = OnnxParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))
    return regions


def _tensors(file: bytes) -> list[Region]:
    regions = _parse(file)
    assert regions is not None
    assert all(region.element is E.BYTES for region in regions if not region.name)
    return [region for region in regions if region.name]


def _told(file: bytes) -> list[tuple[str, tuple[int, ...], ElementType, bytes]]:
    return [
        (r.name, r.shape, r.element, file[r.offset : r.offset + r.size]) for r in _tensors(file)
    ]


def test_what_a_runtime_computes_with_is_found() -> None:
    """A model that onnxruntime accepts and runs, with weights in every kind of place."""
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    branches = []
    for name, value in (("then", w + 1), ("else", w + 2)):
        constant = attribute("value", 5, tensor("", E.F32, (2, 3), value.tobytes()))
        inner = graph(
            [node("Constant", [], [name], constant)], outputs=[value_info(name, FLOAT, (2, 3))]
        )
        branches.append(attribute(f"{name}_branch", 6, inner))
    main = graph(
        [
            node("Add", ["x", "raw"], ["a"]),
            node("Add", ["a", "packed"], ["b"]),
            node("If", ["yes"], ["c"], *branches),
            node("Add", ["b", "c"], ["y"]),
        ],
        [
            tensor("raw", E.F32, (2, 3), w.tobytes()),
            tensor("packed", FLOAT, (2, 3), more=floats(range(10, 16)), packed=False),
            tensor("yes", E.BOOL, (), b"\1"),
        ],
        inputs=[value_info("x", FLOAT, (2, 3))],
        outputs=[value_info("y", FLOAT, (2, 3))],
    )
    file = model(main)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones((2, 3), np.float32)})
    packed = np.arange(10, 16, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(y, 1 + w + packed + w + 1)
    assert _told(file) == [
        ("then", (2, 3), E.F32, (w + 1).tobytes()),
        ("else", (2, 3), E.F32, (w + 2).tobytes()),
        ("raw", (2, 3), E.F32, w.tobytes()),
        ("packed", (2, 3), E.F32, packed.tobytes()),
        ("yes", (), E.BOOL, b"\1"),
    ]


@pytest.mark.parametrize("element", TYPES, ids=lambda e: e.name)
def test_every_type_is_known(element: ElementType) -> None:
    size, elements = element.block
    file = simple(tensor("t", element, (3, elements), bytes(3 * size)))
    assert _told(file) == [("t", (3, elements), element, bytes(3 * size))]


def test_four_bits_of_an_odd_number_of_elements_are_rounded_up() -> None:
    assert _told(simple(tensor("t", E.I4, (3,), b"ab"))) == [("t", (3,), E.I4, b"ab")]


SPARSE = text(1, tensor("values", E.F32, (2, 3), DATA)) + text(2, tensor("", INT64, (6,), DATA * 2))
PLACES = {
    "initializer": simple(GOOD),
    "sparse initializer": model(graph(sparse=[SPARSE])),
    "constant": model(graph([node("Constant", [], ["t"], attribute("value", 5, GOOD))])),
    "list of tensors": model(graph([node("Op", [], ["t"], attribute("list", 10, GOOD))])),
    "sparse constant": model(graph([node("Constant", [], ["t"], attribute("s", 22, SPARSE))])),
    "list of sparse": model(graph([node("Op", [], ["t"], attribute("s", 23, SPARSE))])),
    "graphs": model(
        graph([node("Op", [], [], attribute("g", 11, graph(), graph(initializers=[GOOD])))])
    ),
    "function": model(
        graph(),
        more=text(25, text(1, "f") + text(7, node("Op", [], [], attribute("v", 5, GOOD)))),
    ),
    "function's default": model(graph(), more=text(25, text(11, attribute("v", 5, GOOD)))),
    "training": model(graph(), more=text(20, text(1, graph(initializers=[GOOD])))),
    "training, algorithm": model(graph(), more=text(20, text(2, graph(initializers=[GOOD])))),
}


@pytest.mark.parametrize("file", PLACES.values(), ids=PLACES.keys())
def test_tensors_are_found_wherever_they_may_stand(file: bytes) -> None:
    assert any(data == DATA for _, _, _, data in _told(file))


def test_a_sparse_tensor_is_its_values_and_its_indices() -> None:
    assert _told(PLACES["sparse constant"]) == [
        ("values", (2, 3), E.F32, DATA),
        ("t", (6,), E.I64, DATA * 2),
    ]


def test_numbers_in_typed_fields() -> None:
    doubles = struct.pack("<2d", 1, 2)
    file = simple(
        tensor("doubles", DOUBLE, (2,), more=text(10, doubles)),
        tensor("complex", E.C64, (1,), more=floats([1, 2])),
        tensor("varints", INT64, (2,), more=text(7, varint(300) + varint(-1))),
        tensor("halves", FLOAT16, (2,), more=text(5, varint(300) + varint(40_000))),
        tensor("text", STRING, (1,), more=text(6, "one text")),
        tensor("several texts", STRING, (2,), more=text(6, "one") + text(6, "two")),
    )
    assert [(name, element) for name, _, element, _ in _told(file)] == [
        ("doubles", E.F64),
        ("complex", E.C64),
        ("varints", E.BYTES),
        ("halves", E.BYTES),
        ("text", E.BYTES),
    ]
    assert _told(file)[0][3] == doubles


NOT_FITTING = {
    "too short": tensor("t", E.F32, (2, 4), DATA),
    "too long": tensor("t", E.F32, (2,), DATA),
    "negative": tensor("t", E.F32, (-1,), DATA),
    "2^64 elements": tensor("t", E.F32, (1 << 32, 1 << 32), DATA),
    "2^1000 elements": tensor("t", E.F32, (1 << 60,) * 16, DATA),
    "nothing": tensor("t", E.F32, (0,), DATA),
    "unknown type": tensor("t", 26, (6,), DATA),
    "type of the future": tensor("t", 1 << 40, (6,), DATA),
    "no type": text(8, "t") + text(9, DATA),
}


@pytest.mark.parametrize("one", NOT_FITTING.values(), ids=NOT_FITTING.keys())
def test_bytes_that_do_not_fit_their_shape_are_of_unknown_type(one: bytes) -> None:
    """What the bytes are may be a lie; where they lie is not."""
    assert _told(simple(one)) == [("t", (), E.UNKNOWN, DATA)]


def test_names_that_come_again_are_numbered() -> None:
    constants = [
        node("Constant", [], [""], attribute("value", 5, tensor("", E.F32, (2, 3), DATA)))
    ] * 2
    inner = graph(initializers=[GOOD])
    file = model(graph([*constants, node("Op", [], [], attribute("g", 6, inner))], [GOOD, GOOD]))
    assert [name for name, *_ in _told(file)] == ["tensor", "tensor#2", "t", "t#2", "t#3"]


@pytest.mark.parametrize("name", ["n" * 5000, b"\xff\xfe", "größe"])
def test_any_name_will_do(name: str | bytes) -> None:
    (found,) = _tensors(simple(tensor(name, E.F32, (2, 3), DATA)))
    assert 0 < len(found.name) <= 1024


def test_a_large_weight_is_cut_from_its_first_byte() -> None:
    data = noise(2, 3 << 20)
    file = simple(tensor("w", E.F16, (3 << 19,), data))
    (found,) = _tensors(file)
    assert file[found.offset : found.offset + found.size] == data


def _field(tag: int, wire: int, payload: bytes = b"") -> bytes:
    return varint(tag << 3 | wire) + payload


def _deep(levels: int, inside: bytes) -> bytes:
    main = graph(initializers=[inside])
    for _ in range(levels):
        main = graph([node("If", [], [], attribute("then_branch", 6, main))])
    return model(main)


HOSTILE = {
    "nothing": b"",
    "one byte": b"\x08",
    "no tensors": model(graph([node("Relu", ["x"], ["y"])])),
    "zeros": bytes(100),
    "text": b"a text that is no model, but goes on for a while\n" * 4,
    "graph beyond the file": model(b"") + varint(7 << 3 | 2) + varint(1000),
    "graph of 2^63 bytes": model(b"") + varint(7 << 3 | 2) + varint(1 << 63),
    "graph of 2^64 - 1 bytes": model(b"") + varint(7 << 3 | 2) + varint(-1),
    "length of 11 bytes": simple(GOOD) + b"\x3a" + b"\xff" * 10 + b"\x01",
    "length of 10 bytes, above 2^64": simple(GOOD) + b"\x3a" + b"\xff" * 9 + b"\x7f",
    "endless varint": simple(GOOD) + b"\xff" * 200,
    "tag of 11 bytes": simple(GOOD) + b"\xba" + b"\x80" * 9 + b"\x00\x00",
    "field number 0": simple(GOOD) + _field(0, 0, b"\0"),
    "group": simple(GOOD) + _field(7, 3) + _field(7, 4),
    "end of no group": simple(GOOD) + _field(7, 4),
    "wire type 6": simple(GOOD) + _field(7, 6, bytes(8)),
    "wire type 7": simple(GOOD) + _field(7, 7, bytes(8)),
    "number cut short": simple(GOOD) + _field(7, 1, bytes(7)),
    "tensor beyond its graph": model(
        text(1, node("Relu", [], [])) + varint(5 << 3 | 2) + varint(len(GOOD) + 20) + GOOD
    ),
    "raw data beyond its tensor": simple(tensor("t", E.F32, (2, 3)) + b"\x4a\x40" + DATA),
    "raw data of 2^60 bytes": simple(tensor("t", E.F32, (2, 3)) + b"\x4a" + varint(1 << 60) + DATA),
    "raw data twice": simple(GOOD + text(9, DATA)),
    "dimensions beyond their field": simple(text(1, b"\xff") + tensor("t", E.F32, (6,), DATA)),
    "65 dimensions": simple(tensor("t", E.F32, (1,) * 65, DATA)),
    "65 dimensions, one by one": simple(tensor("t", E.F32, (1,) * 65, DATA, packed=False)),
    "a million dimensions": simple(tensor("t", E.F32, (1,) * 1_000_000, DATA)),
    "graphs 40 deep": _deep(40, GOOD),
    "graphs 2000 deep": _deep(2000, GOOD),
    "a name that numbering gives": simple(
        GOOD, tensor("t#2", E.F32, (2, 3), DATA), tensor("t", E.F32, (2, 3), DATA)
    ),
    "many notes": simple(
        tensor("t", E.F32, (), DATA, more=b"".join(text(13, text(1, str(i))) for i in range(99)))
    ),
    "only in another file": simple(tensor("t", E.F32, (6,), more=external("w", 0, 24))),
}
SILENT = ("no tensors", "only in another file", "nothing")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_cut_as_unknown_bytes(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = HOSTILE[name]
    with caplog.at_level(logging.DEBUG):
        found, memory = peak(lambda: _parse(file))
    assert found is None
    assert memory < 4 << 20
    assert [r.levelname for r in caplog.records] == ["DEBUG"] * (name not in SILENT)
    assert isinstance(open_cutter("model.onnx", BytesSource(file)), CdcCutter)


def test_the_files_those_were_made_from_are_good() -> None:
    assert _parse(simple(GOOD)) is not None
    assert _parse(_deep(30, GOOD)) is not None
    assert _parse(simple(tensor("t", E.F32, (1,) * 64, DATA))) is not None


def test_a_file_cut_short_anywhere_is_unknown_bytes() -> None:
    """Or, between two fields of the model, one with all that stands before."""
    whole = PLACES["sparse constant"]
    assert _parse(whole) is not None
    good = [end for end in range(len(whole)) if _parse(whole[:end]) is not None]
    assert good == [len(whole) - len(text(8, text(1, "") + number(2, 17)))]


@pytest.mark.parametrize("name", ["model.onnx", "MODEL.ONNX", "0a1b2c"])
def test_a_file_is_recognised_by_name_or_beginning(name: str) -> None:
    assert isinstance(open_cutter(name, BytesSource(simple(GOOD))), SpanCutter)


@pytest.mark.parametrize("head", [b"", b"\x08", b"\x08\x08", b"GGUF", bytes(64), b"\x08\x00\x12"])
def test_other_beginnings_do_not_suit(head: bytes) -> None:
    assert not OnnxParser().suits("weights.bin", head)


def test_an_unreadable_source_is_not_mistaken_for_a_malformed_one() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        OnnxParser().parse(BrokenSource())


# Bounds: files that really are as long as they claim, without anybody writing them


def _endless(rest: bytes, head: bytes = b"") -> LongSource:
    """A model whose graph goes on as `rest` up to the end of a file of a PiB."""
    length = 10  # of the graph's length, written in ten bytes
    begin = number(1, 8) + varint(7 << 3 | 2)
    left = (1 << 50) - len(begin) - length
    left -= (left - len(head)) % len(rest)
    written = bytes([left >> 7 * i & 127 | 128 for i in range(9)]) + b"\0"
    return LongSource(begin + written + head, len(begin) + length + left, rest)


LONG: dict[str, Callable[[], LongSource]] = {
    "fields without end": lambda: _endless(number(99, 1)),
    "empty nodes without end": lambda: _endless(text(1, b"")),
    "tensors without end": lambda: _endless(text(5, tensor("t", E.F32, (1,), b"abcd"))),
    "large tensors without end": lambda: _endless(text(5, tensor("t", E.U8, (9000,), bytes(9000)))),
    "long names without end": lambda: _endless(text(5, tensor("t" * 1024, E.F32, (1,), b"abcd"))),
    "dimensions without end": lambda: _endless(b"\1", varint(5 << 3 | 2) + varint(1 << 49)),
}


@pytest.mark.parametrize("name", LONG)
def test_work_and_memory_are_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a 64th of what is allowed, in a 64th of the memory: tracing all of it takes minutes."""
    limits = [(cursor_module, "READ_LIMIT"), (protobuf, "FIELD_LIMIT")]
    for module, limit in [*limits, (subject, "TENSOR_LIMIT"), (room, "ROOM")]:
        monkeypatch.setattr(module, limit, getattr(module, limit) // SHARE)
    source = LONG[name]()
    found, memory = peak(lambda: OnnxParser().parse(source))
    assert found is None
    assert memory < MEMORY // SHARE
    assert source.bytes_read <= cursor_module.READ_LIMIT
    assert source.reads <= cursor_module.READ_LIMIT // cursor_module.FIRST_WINDOW


def test_weights_are_not_read() -> None:
    """A tensor of 2^49 bytes: two windows."""
    size = 1 << 49
    inside = tensor("t", E.U8, (size,)) + varint(9 << 3 | 2) + varint(size)
    main = varint(5 << 3 | 2) + varint(len(inside) + size) + inside
    begin = number(1, 8) + varint(7 << 3 | 2) + varint(len(main) + size) + main
    source = LongSource(begin, len(begin) + size)
    regions = OnnxParser().parse(source)
    assert regions == [
        Region(0, len(begin), E.BYTES),
        Region(len(begin), size, E.U8, "t", (size,)),
    ]
    assert source.reads <= 2


@pytest.mark.slow
def test_as_many_tensors_as_are_allowed_stay_within_the_bound() -> None:
    found, memory = peak(lambda: OnnxParser().parse(LONG["tensors without end"]()))
    assert found is None
    assert memory < MEMORY


def test_more_tensors_than_any_model_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "TENSOR_LIMIT", 2)
    assert _parse(simple(GOOD, GOOD)) is not None
    assert _parse(simple(GOOD, GOOD, GOOD)) is None


def test_names_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROOM", 2 * room.TENSOR_SIZE + 500)
    assert _parse(simple(GOOD, GOOD)) is not None
    assert _parse(simple(GOOD, GOOD, GOOD)) is None
