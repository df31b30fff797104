"""The GGUF parser: real files are found out, lying ones are left to FastCDC."""

import logging
import struct
from collections.abc import Callable

import pytest

from modelfloat.cas.chunking import cursor as cursor_module
from modelfloat.cas.chunking import gguf as subject
from modelfloat.cas.chunking import room
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.gguf import GgufParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.tests.support.bounds import LongSource, peak
from modelfloat.tests.support.gguffiles import ARRAY, STRING, U8, U32, U64, GgufFile, Tensor
from modelfloat.tests.support.sources import BrokenSource, BytesSource, noise

E = ElementType
MEMORY = 200 << 20
SHARE = 64


def _parse(file: bytes) -> list[Region] | None:
    regions = GgufParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))
    return regions


def _tensors(file: bytes) -> list[Region]:
    regions = _parse(file)
    assert regions is not None
    assert all(region.element is E.BYTES for region in regions if not region.name)
    return [region for region in regions if region.name]


def _good(**changes: object) -> Tensor:
    plain = {"name": "t", "shape": (2, 32), "element": E.Q4_0, "data": noise(1, 36)}
    return Tensor(**(plain | changes))  # type: ignore[arg-type]


KEYS: list[tuple[str | bytes, int, object]] = [
    ("general.architecture", STRING, "llama"),
    ("a.u8", U8, 7),
    ("a.i8", 1, -7),
    ("a.u16", 2, 7),
    ("a.i16", 3, -7),
    ("a.u32", U32, 7),
    ("a.i32", 5, -7),
    ("a.f32", 6, 0.5),
    ("a.bool", 7, True),
    ("a.u64", U64, 1 << 60),
    ("a.i64", 11, -(1 << 60)),
    ("a.f64", 12, 0.25),
    ("tokenizer.ggml.tokens", ARRAY, (STRING, ["<s>", "", "größe"])),
    ("tokenizer.ggml.scores", ARRAY, (6, [0.5] * 9)),
    ("empty", ARRAY, (STRING, [])),
    ("nested", ARRAY, (ARRAY, [(U8, [1, 2]), (STRING, ["x", "y"]), (ARRAY, [(U64, [3])])])),
]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_with_values_of_every_type(version: int) -> None:
    if version == 1:
        tensors = [_good(), _good(name="u", element=E.F32, shape=(3,), data=bytes(12))]
    else:
        tensors = [_good(), _good(name="u", element=E.F16, shape=(3,), data=bytes(6))]
    model = GgufFile(tensors, KEYS, version)
    file = model.bytes()
    found = _tensors(file)
    assert [(r.name, r.shape, r.element) for r in found] == [
        (t.name, t.shape, t.element) for t in tensors
    ]
    for region, tensor in zip(found, tensors, strict=True):
        assert file[region.offset : region.offset + region.size] == tensor.data
    assert found[0].offset == len(model.head()) + -len(model.head()) % 32


@pytest.mark.parametrize("element", subject._TYPES.values(), ids=lambda e: e.name)
def test_every_type_knows_its_size(element: ElementType) -> None:
    size, elements = element.block
    file = GgufFile([_good(element=element, shape=(3, 2 * elements), data=bytes(6 * size))]).bytes()
    (tensor,) = _tensors(file)
    assert (tensor.element, tensor.size) == (element, 6 * size)


def test_an_unknown_type_goes_up_to_the_next_tensor() -> None:
    tensors = [
        _good(name="a", type=31, data=noise(2, 40)),
        _good(name="b"),
        _good(name="c", type=1000, data=noise(3, 50)),
    ]
    found = _tensors(GgufFile(tensors).bytes())
    assert [(r.name, r.element, r.size) for r in found] == [
        ("a", E.UNKNOWN, 64),
        ("b", E.Q4_0, 36),
        ("c", E.UNKNOWN, 50),
    ]


@pytest.mark.parametrize("alignment", [1, 8, 32, 64, 4096])
def test_tensors_are_aligned_as_the_metadata_says(alignment: int) -> None:
    file = GgufFile([_good(name=str(i)) for i in range(3)], alignment=alignment).bytes()
    found = _tensors(file)
    assert [file[r.offset : r.offset + r.size] for r in found] == [noise(1, 36)] * 3
    assert all(region.offset % alignment == 0 for region in found)


def test_tensors_may_be_listed_in_any_order() -> None:
    tensors = [_good(name="b", offset=64), _good(name="a", offset=0)]
    assert [region.name for region in _tensors(GgufFile(tensors).bytes())] == ["a", "b"]


def test_a_tensor_of_nothing_has_no_region() -> None:
    tensors = [_good(name="a", shape=(0, 32), data=b""), _good(), _good(name="z", data=b"")]
    tensors[2].shape = (32, 0)
    assert [region.name for region in _tensors(GgufFile(tensors).bytes())] == ["t"]


def test_a_file_of_metadata_only_is_bytes() -> None:
    file = GgufFile([], KEYS).bytes()
    assert _parse(file) == [Region(0, len(file), E.BYTES)]


def test_a_part_of_a_split_set_is_whole_by_itself() -> None:
    keys = [("split.no", 2, 1), ("split.count", 2, 3), ("split.tensors.count", 5, 99)]
    assert len(_tensors(GgufFile([_good()], keys).bytes())) == 1


def test_a_large_value_of_the_metadata_has_a_region_of_its_own() -> None:
    """A vocabulary is the same in every quantisation of a model: so are its chunks."""
    words = [f"word {i}" for i in range(9000)]
    bounds = []
    for before in ("q4", "a longer name"):
        keys = [("name", STRING, before), ("tokens", ARRAY, (STRING, words)), ("end", U8, 1)]
        file = GgufFile([_good()], keys).bytes()
        regions = _parse(file)
        assert regions is not None
        assert [bool(region.name) for region in regions] == [False] * 3 + [True]
        vocabulary = regions[1]
        bounds.append(file[vocabulary.offset : vocabulary.offset + vocabulary.size])
    assert bounds[0] == bounds[1]
    assert bounds[0].endswith(b"word 8999")


def _file(**changes: object) -> bytes:
    return GgufFile(**({"tensors": [_good()]} | changes)).bytes()  # type: ignore[arg-type]


def _with(**changes: object) -> bytes:
    return GgufFile([_good(), _good(**({"name": "u"} | changes))]).bytes()


def _value(kind: int, value: bytes) -> bytes:
    return GgufFile([_good()], [("key", kind, value)]).bytes()


def _u64(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}Q", *numbers)


DEEP = struct.pack("<IQ", ARRAY, 1) * 100 + struct.pack("<IQ", U8, 1) + b"x"
HOSTILE = {
    "nothing": b"",
    "magic only": b"GGUF",
    "other magic": b"GGUX" + _file()[4:],
    "version 0": _file(version=0),
    "version 4": _file(version=4),
    "version 2^32 - 1": b"GGUF" + b"\xff" * 4 + _file()[8:],
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "2^60 tensors": _file(count=1 << 60),
    "2^64 - 1 tensors": _file(count=(1 << 64) - 1),
    "one tensor too many": _file(count=2),
    "2^60 keys": _file(key_count=1 << 60),
    "65536 keys claimed": _file(key_count=1 << 16),
    "one key too many": _file(key_count=1),
    "key of 2^63 bytes": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 63),
    "long key": GgufFile([], [("k" * 70_000, U8, 1)]).bytes(),
    "string of 2^63 bytes": _value(STRING, _u64(1 << 63)),
    "string of 2^64 - 1 bytes": _value(STRING, _u64((1 << 64) - 1)),
    "string beyond the file": _value(STRING, _u64(1000)),
    "array of 2^60 numbers": _value(ARRAY, struct.pack("<IQ", U32, 1 << 60)),
    "array of 2^64 - 1 bytes": _value(ARRAY, struct.pack("<IQ", U8, (1 << 64) - 1)),
    "array of 2^60 strings": _value(ARRAY, struct.pack("<IQ", STRING, 1 << 60)),
    "array of 2^60 arrays": _value(ARRAY, struct.pack("<IQ", ARRAY, 1 << 60)),
    "array of no type": _value(ARRAY, struct.pack("<IQ", 13, 1)),
    "arrays 100 deep": _value(ARRAY, DEEP),
    "value of no type": _value(13, b""),
    "alignment 0": _file(keys=[("general.alignment", U32, 0)]),
    "alignment 24": _file(keys=[("general.alignment", U32, 24)]),
    "alignment 2^31": _file(keys=[("general.alignment", U32, 1 << 31)]),
    "alignment a string": _file(keys=[("general.alignment", STRING, "32")]),
    "alignment twice": _file(keys=[("general.alignment", U32, 32)] * 2),
    "overlap": _with(offset=32),
    "same place": _with(offset=0),
    "beyond the file": _with(offset=100),
    "far beyond the file": _with(offset=1 << 63),
    "offset 2^64 - 1": _with(offset=(1 << 64) - 1),
    "unknown type, beyond the file": _with(offset=1 << 40, type=999),
    "unknown type, same place": _with(offset=0, type=999),
    "unknown type, nothing left": _with(offset=64 + 36, type=999),
    "a shape too large": _with(shape=(3, 32)),
    "a shape of 2^64 elements": _with(shape=(1 << 32, 1 << 32)),
    "a shape of 2^256 elements": _with(shape=((1 << 64) - 1,) * 4),
    "half a block": _with(shape=(4, 16)),
    "a part of a block": _with(shape=(2, 33)),
    "five dimensions": _with(shape=(2, 32, 1, 1, 1)),
    "2^32 - 1 dimensions": _with(dimensions=(1 << 32) - 1),
    "long name": _with(name="n" * 1025),
    "name that is no text": _with(name=b"\xff\xfe"),
    "tensor twice": _with(name="t"),
}


@pytest.mark.parametrize("file", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_cut_as_unknown_bytes(
    file: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        found, memory = peak(lambda: _parse(file))
    assert found is None
    assert memory < 2 << 20
    assert [r.levelname for r in caplog.records] == ["DEBUG"]
    assert "cut as unknown bytes" in caplog.text
    assert isinstance(open_cutter("model.gguf", BytesSource(file)), CdcCutter)


def test_the_file_those_were_made_from_is_good() -> None:
    assert _parse(_file()) is not None
    assert _parse(_with()) is not None


def test_a_file_cut_short_anywhere_is_unknown_bytes() -> None:
    whole = GgufFile([_good(), _good(name="u")], KEYS).bytes()
    assert _parse(whole) is not None
    for end in range(len(whole)):
        assert _parse(whole[:end]) is None, end


@pytest.mark.parametrize("name", ["model.gguf", "MODEL.GGUF", "sha256-0a1b"])
def test_a_file_is_recognised_by_name_or_beginning(name: str) -> None:
    assert isinstance(open_cutter(name, BytesSource(_file())), SpanCutter)


@pytest.mark.parametrize("head", [b"", b"GGU", b"ggml", b"fuGG", bytes(64)])
def test_other_beginnings_do_not_suit(head: bytes) -> None:
    assert not GgufParser().suits("weights.bin", head)


def test_an_unreadable_source_is_not_mistaken_for_a_malformed_one() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        GgufParser().parse(BrokenSource())


# Bounds: files that really are as long as they claim, without anybody writing them


def _endless(count: int, keys: int, rest: bytes, tail: bytes = b"") -> LongSource:
    head = b"GGUF" + struct.pack("<IQQ", 3, count, keys) + tail
    return LongSource(head, 1 << 50, rest)


KEY = struct.pack("<Q", 1) + b"k"
# Each for a share of what is allowed: 1 is all of it.
LONG: dict[str, Callable[[int], LongSource]] = {
    "strings without end": lambda n: _endless(
        0, 1, _u64(0), KEY + struct.pack("<IIQ", ARRAY, STRING, 1 << 46)
    ),
    "as many strings as are allowed, short": lambda n: _endless(
        0, 9, _u64(24) + bytes(24), KEY + struct.pack("<IIQ", ARRAY, STRING, (1 << 22) // n)
    ),
    "as many strings as are allowed, far apart": lambda n: _endless(
        0,
        1,
        _u64(1 << 20) + bytes(1 << 20),
        KEY + struct.pack("<IIQ", ARRAY, STRING, (1 << 22) // n),
    ),
    "keys without end": lambda n: _endless(0, (1 << 16) // n, KEY + struct.pack("<IB", U8, 1)),
    "large values without end": lambda n: _endless(
        0, (1 << 16) // n, KEY + struct.pack("<IIQ", ARRAY, U8, 1 << 16) + bytes(1 << 16)
    ),
    "arrays without end": lambda n: _endless(
        0, 1, struct.pack("<IQ", U8, 0), KEY + struct.pack("<IIQ", ARRAY, ARRAY, 1 << 40)
    ),
    "tensors of one name": lambda n: _endless(
        (1 << 17) // n, 0, _u64(1) + b"t" + struct.pack("<IQIQ", 1, 1, 0, 0)
    ),
}


@pytest.mark.parametrize("name", LONG)
def test_work_and_memory_are_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a 64th of what is allowed, in a 64th of the memory: tracing all of it takes minutes."""
    for limit in ("READ_LIMIT", "STRING_LIMIT"):
        monkeypatch.setattr(cursor_module, limit, getattr(cursor_module, limit) // SHARE)
    for limit in ("TENSOR_LIMIT", "KEYS_LIMIT", "ARRAY_LIMIT"):
        monkeypatch.setattr(subject, limit, getattr(subject, limit) // SHARE)
    monkeypatch.setattr(room, "ROOM", room.ROOM // SHARE)
    source = LONG[name](SHARE)
    found, memory = peak(lambda: GgufParser().parse(source))
    # Where nothing contradicts itself a file of a PiB is good.
    assert found is None or covers(found, source.size)
    assert memory < MEMORY // SHARE
    assert source.bytes_read <= cursor_module.READ_LIMIT
    assert source.reads <= cursor_module.READ_LIMIT // cursor_module.FIRST_WINDOW


def test_a_number_within_the_file_cannot_make_it_read_the_file() -> None:
    """One array of 2^49 bytes, and tensors behind it: two windows."""
    skipped = KEY + struct.pack("<IIQ", ARRAY, U8, 1 << 49)
    source = _endless(0, 1, b"\0", skipped)
    assert GgufParser().parse(source) is not None
    assert source.reads <= 2


@pytest.mark.slow
def test_as_many_tensors_as_are_allowed_stay_within_the_bound() -> None:
    count, name = subject.TENSOR_LIMIT, 100
    infos = b"".join(
        _u64(name) + b"%0*d" % (name, i) + struct.pack("<I4QIQ", 4, 32, 1, 2, 1 << 30, 2, i << 37)
        for i in range(count)
    )
    source = LongSource(b"GGUF" + struct.pack("<IQQ", 3, count, 0) + infos, 1 << 62)
    found, memory = peak(lambda: GgufParser().parse(source))
    assert found is not None
    assert len(found) == 2 * count + 1
    assert memory < MEMORY


def test_names_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROOM", 2 * room.TENSOR_SIZE + 500)
    assert _parse(GgufFile([_good(name=n) for n in ("a", "b")]).bytes()) is not None
    assert _parse(GgufFile([_good(name=n) for n in ("a", "b", "c")]).bytes()) is None


def test_more_tensors_than_any_model_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "TENSOR_LIMIT", 2)
    assert _parse(GgufFile([_good(name=n) for n in ("a", "b")]).bytes()) is not None
    assert _parse(GgufFile([_good(name=n) for n in ("a", "b", "c")]).bytes()) is None


def test_a_vocabulary_of_250000_words_is_skipped_in_windows() -> None:
    words = [f"token{i}" for i in range(250_000)]
    file = GgufFile([_good()], [("tokens", ARRAY, (STRING, words))]).bytes()
    regions, memory = peak(lambda: _parse(file))
    assert regions is not None
    assert memory < 2 << 20
