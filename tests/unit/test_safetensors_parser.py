"""The safetensors parser: real files are found out, lying ones are left to FastCDC."""

import json
import struct
from itertools import repeat
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from modelfloat.cas.chunking import safetensors as subject
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.chunking.safetensors import SafetensorsParser
from modelfloat.tests.support.sources import (
    BrokenSource,
    BytesSource,
    cut_all,
    info,
    noise,
    safetensors_file,
    with_header,
)

GOOD = info("U8", [4], 0, 4)


def _parse(file: bytes) -> list[Region] | None:
    regions = SafetensorsParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))
    return regions


def _header(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_what_the_safetensors_library_writes_is_found() -> None:
    tensors = {
        "b": np.zeros((3, 5), np.float32),
        "a": np.ones(7, np.float16),
        "empty": np.zeros((0, 4), np.float64),
        "scalar": np.array(3, np.int64),
        "flags": np.array([True, False]),
    }
    file = safetensors.numpy.save(tensors, {"format": "np"})
    regions = _parse(file)
    assert regions is not None
    assert regions[0].element is ElementType.BYTES
    found = {region.name: region for region in regions[1:]}
    assert set(found) == {"b", "a", "scalar", "flags"}
    assert found["b"].element is ElementType.F32
    assert found["a"].element is ElementType.F16
    assert found["scalar"].element is ElementType.I64
    assert found["flags"].element is ElementType.BOOL
    for name, region in found.items():
        stored = file[region.offset : region.offset + region.size]
        assert stored == tensors[name].tobytes()
        assert region.shape == tensors[name].shape


@pytest.mark.parametrize(
    "element",
    [e for e in ElementType if ElementType.BOOL <= e <= ElementType.F6_E3M2],
    ids=lambda e: e.name,
)
def test_every_dtype_is_known_by_its_name(element: ElementType) -> None:
    size = 8 * element.block.bytes // element.block.elements
    regions = _parse(safetensors_file({"t": info(element.name, [2, 4], 0, size)}, bytes(size)))
    assert regions is not None
    assert regions[1].element is element


def test_a_type_that_only_other_formats_have_is_not_known_by_our_name_for_it() -> None:
    regions = _parse(safetensors_file({"t": info("Q4_0", [32], 0, 18)}, bytes(18)))
    assert regions is not None
    assert regions[1].element is ElementType.UNKNOWN


def test_a_dtype_of_the_future_still_gives_its_region() -> None:
    regions = _parse(
        safetensors_file({"t": info("F2_E1", [16], 0, 4), "u": info("U8", [2], 4, 6)}, bytes(6))
    )
    assert regions is not None
    assert [region.element for region in regions[1:]] == [ElementType.UNKNOWN, ElementType.U8]


def test_tensors_come_in_file_order_whatever_the_header_says() -> None:
    regions = _parse(
        safetensors_file({"z": info("U8", [2], 4, 6), "a": info("U8", [4], 0, 4)}, bytes(6))
    )
    assert regions is not None
    assert [region.name for region in regions] == ["", "a", "z"]


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"{ }   ",
        b'{"__metadata__":{"a":"} \\" {","b":"[[[["}}',
        b'{"__metadata__":{},"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}        ',
        b'{\n\t"t" : {"dtype":"U8" , "shape":[ ],"data_offsets":[0,1]}\r\n}',
    ],
)
def test_harmless_headers_are_accepted(header: bytes) -> None:
    data = bytes(1 if b"[0,1]" in header else 0)
    assert _parse(with_header(header, data)) is not None


HALVES = _header(info("U8", [2], 0, 2)), _header(info("U8", [2], 2, 4))
HOSTILE_HEADERS = {
    "empty": b"",
    "spaces": b"    ",
    "no object": b"[]",
    "null": b"null",
    "unclosed": _header({"t": GOOD})[:-1],
    "something behind": _header({"t": GOOD}) + b" {}",
    "leading space": b" " + _header({"t": GOOD}),
    "trailing comma": _header({"t": GOOD})[:-1] + b",}",
    "not UTF-8": b'{"\xff":' + _header(GOOD) + b"}",
    "not UTF-8 within": b'{"t":' + _header(GOOD)[:-1] + b',"\xff":1}}',
    "UTF-16": json.dumps({"t": GOOD}).encode("utf-16"),
    "lone surrogate": b'{"\\ud800":' + _header(GOOD) + b"}",
    "control character": b'{"a\nb":' + _header(GOOD) + b"}",
    "bad escape": b'{"\\x":' + _header(GOOD) + b"}",
    "tensor twice": b'{"t":%b,"t":%b}' % HALVES,
    "tensor twice, escaped": b'{"t":%b,"\\u0074":%b}' % HALVES,
    "field twice": b'{"t":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
    "deep": b'{"t":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep within": b'{"t":{"shape":' + b"[" * 2000 + b"]" * 2000 + b"}}",
    "nested objects": b'{"t":' * 50_000,
    "no object as tensor": _header({"t": [0, 4]}),
    "long name": _header({"t" * 5000: GOOD}),
    "long shape": _header({"t": info("U8", [4] + [1] * 5000, 0, 4)}),
    "no fields": _header({"t": {}}),
    "metadata only": _header({"__metadata__": {"a": "b"}}),
    "metadata not flat": _header({"__metadata__": {"a": {"b": "c"}}, "t": GOOD}),
}

HOSTILE_TENSORS: dict[str, list[dict[str, Any]]] = {
    "overlap": [info("U8", [3], 0, 3), info("U8", [2], 2, 4)],
    "same place": [GOOD, GOOD],
    "gap": [info("U8", [1], 0, 1), info("U8", [2], 2, 4)],
    "gap at the start": [info("U8", [3], 1, 4)],
    "trailing bytes": [info("U8", [3], 0, 3)],
    "beyond the file": [info("U8", [5], 0, 5)],
    "far beyond the file": [info("U8", [4], 2**63, 2**63 + 4)],
    "2^63 elements": [info("U8", [2**63], 0, 4)],
    "2^64 + 4 elements": [info("U8", [2**32 + 1, 4], 0, 4)],
    "huge factors": [info("U8", [10**600, 10**600], 0, 4)],
    "digits without end": [info("U8", [4], 0, int("9" * 4000))],
    "empty, beyond the file": [GOOD, info("U8", [0], 5, 5)],
    "reversed": [info("U8", [4], 4, 0)],
    "negative": [info("U8", [4], -4, 0)],
    "negative shape": [info("U8", [-2, -2], 0, 4)],
    "float": [info("U8", [4], 0, 4.0)],
    "float shape": [info("U8", [4.0], 0, 4)],
    "bool": [info("U8", [4], False, 4)],
    "bool shape": [info("U8", [4, True], 0, 4)],
    "text": [info("U8", [4], "0", "4")],
    "not finite": [info("U8", [4], 0, float("inf"))],
    "not a number": [info("U8", [float("nan")], 0, 4)],
    "null": [info("U8", [4], None, None)],
    "shape too small": [info("F32", [], 0, 3), info("U8", [1], 3, 4)],
    "shape too large": [info("U8", [5], 0, 4)],
    "shape of nothing": [info("U8", [0], 0, 4)],
    "empty with a shape": [GOOD, info("U8", [1], 4, 4)],
    "half a byte": [info("F4", [7], 0, 4)],
    "three quarters of a byte": [info("F6_E2M3", [3], 0, 4)],
    "dtype a list": [{**GOOD, "dtype": ["U8"]}],
    "dtype a number": [{**GOOD, "dtype": 3}],
    "no dtype": [{"shape": [4], "data_offsets": [0, 4]}],
    "shape a number": [{**GOOD, "shape": 4}],
    "no shape": [{"dtype": "U8", "data_offsets": [0, 4]}],
    "three offsets": [{**GOOD, "data_offsets": [0, 2, 4]}],
    "no offsets": [{"dtype": "U8", "shape": [4]}],
}

HOSTILE_FILES = {
    "nothing": b"",
    "seven bytes": bytes(7),
    "length only": struct.pack("<Q", 1),
    "length one too many": struct.pack("<Q", len(_header({"t": GOOD})) + 5)
    + _header({"t": GOOD})
    + b"abcd",
    "length 2^63": struct.pack("<Q", 2**63) + _header({"t": GOOD}),
    "length 2^64 - 1": b"\xff" * 8 + b'{"a":',
    "100 MB claimed": struct.pack("<Q", 100_000_000) + _header({"t": GOOD}),
    **{name: with_header(header, b"abcd") for name, header in HOSTILE_HEADERS.items()},
    **{
        name: safetensors_file({f"t{i}": t for i, t in enumerate(tensors)}, b"abcd")
        for name, tensors in HOSTILE_TENSORS.items()
    },
}


@pytest.mark.parametrize("file", HOSTILE_FILES.values(), ids=HOSTILE_FILES.keys())
def test_a_hostile_file_is_cut_as_unknown_bytes(file: bytes) -> None:
    assert _parse(file) is None
    cutter = open_cutter("model.safetensors", BytesSource(file))
    assert isinstance(cutter, CdcCutter)
    spans = cut_all(cutter, file, repeat(0))
    assert sum(span.size for span in spans) == len(file)
    assert all(span.element is ElementType.UNKNOWN for span in spans)


def test_the_file_those_were_made_from_is_good() -> None:
    assert _parse(safetensors_file({"t": GOOD}, b"abcd")) is not None


def test_a_header_longer_than_the_format_allows_is_not_even_read() -> None:
    class Large:
        size = 1 << 40

        def read(self, offset: int, size: int) -> bytes:
            assert (offset, size) == (0, 8)
            return struct.pack("<Q", 100_000_001)

    assert SafetensorsParser().parse(Large()) is None


def test_more_tensors_than_any_model_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "TENSOR_LIMIT", 2)
    tensors = {str(i): info("U8", [1], i, i + 1) for i in range(3)}
    assert _parse(safetensors_file(tensors, bytes(3))) is None


def test_an_unreadable_source_is_not_mistaken_for_a_malformed_one() -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        SafetensorsParser().parse(BrokenSource())


@pytest.mark.parametrize("name", ["model.safetensors", "MODEL.SAFETENSORS", "0a1b2c"])
def test_a_file_is_recognised_by_name_or_beginning(name: str) -> None:
    file = safetensors_file({"t": info("U8", [4096], 0, 4096)}, noise(1, 4096))
    assert isinstance(open_cutter(name, BytesSource(file)), SpanCutter)


@pytest.mark.parametrize("head", [b"", b"{", bytes(9), b"GGUF" + bytes(60), b"\xff" * 8 + b'{"a"'])
def test_other_beginnings_do_not_suit(head: bytes) -> None:
    assert not SafetensorsParser().suits("weights.bin", head)
