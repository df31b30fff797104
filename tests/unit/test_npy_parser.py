"""NumPy's files: what NumPy writes is found, whatever else is left to FastCDC."""

import io
import struct
from typing import Any

import numpy as np
import pytest

from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.npy import FIRST_READ, HEADER_LIMIT, MAGIC, NpyParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.tests.support.bounds import LongSource, peak
from modelfloat.tests.support.sources import BytesSource
from modelfloat.tests.support.torchzips import zipped


def saved(array: np.ndarray[Any, Any], version: tuple[int, int] | None = None) -> bytes:
    """An array as NumPy writes it."""
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version)
    return out.getvalue()


def written(header: bytes, data: bytes = b"abcd", version: int = 1) -> bytes:
    """An array with this header, whatever it says."""
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def _parse(file: bytes) -> list[Region] | None:
    regions = NpyParser().parse(BytesSource(file))
    assert regions is None or covers(regions, len(file))
    return regions


DTYPES = {
    "?": ElementType.BOOL,
    "i1": ElementType.I8,
    "<i2": ElementType.I16,
    "<i4": ElementType.I32,
    "<i8": ElementType.I64,
    "u1": ElementType.U8,
    "<u2": ElementType.U16,
    "<u4": ElementType.U32,
    "<u8": ElementType.U64,
    "<f2": ElementType.F16,
    "<f4": ElementType.F32,
    "<f8": ElementType.F64,
    "<c8": ElementType.C64,
    "<c16": ElementType.C128,
    "<M8[ns]": ElementType.I64,
    "<m8[25s]": ElementType.I64,
    "V2": ElementType.BF16,
    "V3": ElementType.UNKNOWN,
    "<f16": ElementType.UNKNOWN,
    "S5": ElementType.BYTES,
    "<U5": ElementType.BYTES,
    ">f4": ElementType.UNKNOWN,
}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_known(dtype: str, version: tuple[int, int]) -> None:
    array = np.zeros((2, 3), dtype)
    file = saved(array, version)
    regions = _parse(file)
    assert regions is not None
    head, data = regions
    assert head.element is ElementType.BYTES
    assert (data.element, data.shape, data.name) == (DTYPES[dtype], (2, 3), "arr_0")
    assert data.size == array.nbytes


@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (2, 3, 4), (1,) * 64])
def test_shapes(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    regions = _parse(saved(array))
    assert regions is not None
    assert [region.shape for region in regions[1:]] == ([shape] if array.size else [])


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((4, 8), (4, 8, 0, 1, 0)),
        ((4, 1, 8), (4, 1, 8, 0, 2, 0)),
        ((2, 3, 4), (2, 3, 4, 0, 2, 1, 0)),
        ((1,) * 61 + (2, 2), ()),
    ],
)
def test_the_other_order_of_elements_is_told(shape: tuple[int, ...], said: tuple[int, ...]) -> None:
    array = np.ones(shape, np.float32)
    regions = _parse(saved(np.asfortranarray(array)))
    assert regions is not None
    assert (regions[1].element, regions[1].shape) == (ElementType.F32, said)
    assert regions[1].size == array.nbytes


@pytest.mark.parametrize("shape", [(), (5,), (1, 5, 1)])
def test_what_lies_alike_in_both_orders_has_one_shape(shape: tuple[int, ...]) -> None:
    header = f"{{'descr': '|u1', 'fortran_order': True, 'shape': {shape}, }}".encode()
    regions = _parse(written(header, bytes(5 if shape else 1)))
    assert regions is not None
    assert regions[1].shape == shape


def test_records_are_one_region_of_unknown_type() -> None:
    records = np.zeros(5, [("a", "<f4"), ("b [it's]", [("c", "<i2", (3,)), ("d", "S1")])])
    regions = _parse(saved(records))
    assert regions is not None
    assert (regions[1].element, regions[1].size) == (ElementType.UNKNOWN, records.nbytes)


def test_python_objects_are_unknown_bytes() -> None:
    file = saved(np.array([{"a": 1}, None], dtype=object))
    assert _parse(file) is None
    assert isinstance(open_cutter("a.npy", BytesSource(file)), CdcCutter)


def test_what_follows_an_array_is_bytes() -> None:
    regions = _parse(saved(np.zeros(3, np.int16)) * 2)
    assert regions is not None
    assert [region.element.name for region in regions] == ["BYTES", "I16", "BYTES"]


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (4,), }   \n",
        b"{'shape':(2L,2L),'fortran_order':True,'descr':'u1'}",
        b"{ 'descr' : '=u4' , 'fortran_order' : False , 'shape' : ( ) }\n",
        b"{'descr': '<V4', 'fortran_order': False, 'shape': (1), }\n",
    ],
)
def test_other_ways_to_write_a_header(header: bytes) -> None:
    regions = _parse(written(header))
    assert regions is not None
    assert regions[1].size == 4


HOSTILE_HEADERS = {
    "empty": b"",
    "spaces": b"    ",
    "no dict": b"[]",
    "an empty dict": b"{}",
    "no shape": b"{'descr': 'u1', 'fortran_order': False}",
    "a field twice": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,), 'shape': (4,)}",
    "another field": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,), 'x': (4,)}",
    "an order of one": b"{'descr': 'u1', 'fortran_order': (1,), 'shape': (4,)}",
    "no tuple": b"{'descr': 'u1', 'fortran_order': False, 'shape': '4'}",
    "a list": b"{'descr': 'u1', 'fortran_order': False, 'shape': [4]}",
    "nothing in order": b"{'descr': 'u1' 'fortran_order': False, 'shape': (4,)}",
    "unclosed": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,),",
    "something behind": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,)} }",
    "code": b"{'descr': 'u1', 'fortran_order': False, 'shape': (print(4),)}",
    "a call": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,)}.clear()}",
    "negative": b"{'descr': 'u1', 'fortran_order': False, 'shape': (-4,)}",
    "float": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4.0,)}",
    "too large": b"{'descr': 'u1', 'fortran_order': False, 'shape': (5,)}",
    "2^63": b"{'descr': 'u1', 'fortran_order': False, 'shape': (9223372036854775808,)}",
    "2^64 + 4": b"{'descr': 'u1', 'fortran_order': False, 'shape': (4294967297, 4)}",
    "digits without end": b"{'descr': 'u1', 'fortran_order': False, 'shape': ("
    + b"9" * 5000
    + b",)}",
    "65 dimensions": b"{'descr': 'u1', 'fortran_order': False, 'shape': (" + b"1," * 65 + b")}",
    "a huge element": b"{'descr': 'V9999999999', 'fortran_order': False, 'shape': (1,)}",
    "objects": b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "no element": b"{'descr': 'four', 'fortran_order': False, 'shape': (4,)}",
    "an escape": b"{'descr': '\\x75\\x31', 'fortran_order': False, 'shape': (4,)}",
    "brackets without end": b"{'descr': " + b"[" * 20_000 + b", 'fortran_order': False}",
    "not closed brackets": b"{'descr': [('a', 'u1'), 'fortran_order': False, 'shape': (4,)}",
    "quotes": b"{'descr': ['" + b"\"'" * 9000 + b"], 'fortran_order': False, 'shape': (4,)}",
    "spaces within": b"{" + b" " * 60_000 + b"'descr'" + b" " * 5000 + b"x",
}
GOOD = written(b"{'descr': 'u1', 'fortran_order': False, 'shape': (4,)}")
HOSTILE_FILES = {
    "only the magic": b"\x93NUMPY",
    "no version": b"\x93NUMPY\x01",
    "version 4": GOOD[:6] + b"\x04" + GOOD[7:],
    "a header beyond the file": GOOD[:8] + b"\xff\xff" + GOOD[10:],
    "a header of 4 GiB": GOOD[:6] + b"\x02\0\xff\xff\xff\xff" + GOOD[12:],
    "nothing but a header": GOOD[:-4],
    **{name: written(header) for name, header in HOSTILE_HEADERS.items()},
}


@pytest.mark.parametrize("file", HOSTILE_FILES.values(), ids=HOSTILE_FILES.keys())
def test_a_hostile_file_is_cut_as_unknown_bytes(file: bytes) -> None:
    assert _parse(file) is None
    assert isinstance(open_cutter("a.npy", BytesSource(file)), CdcCutter)


def test_the_file_those_were_made_from_is_good() -> None:
    assert _parse(GOOD) is not None
    assert isinstance(open_cutter("whatever", BytesSource(GOOD)), SpanCutter)


def test_no_more_than_the_longest_header_is_read() -> None:
    source = LongSource(GOOD[:6] + b"\x02\0\xff\xff\xff\x7f{", 1 << 40)
    result, most = peak(lambda: NpyParser().parse(source))
    assert result is None
    assert source.bytes_read <= HEADER_LIMIT
    assert most < 1 << 20


def test_of_a_short_header_little_is_read() -> None:
    """An archive may have 65,536 arrays."""
    head = saved(np.zeros(0, np.uint8)).replace(b"(0,), }" + b" " * 9, b"(1000000000,), }")
    source = LongSource(head, 1 << 40)
    assert NpyParser().parse(source) is not None
    assert source.bytes_read <= FIRST_READ


def test_a_long_header_is_read_whole() -> None:
    fields = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }"
    header = fields.ljust(HEADER_LIMIT - 13) + b"\n"
    file = MAGIC + b"\2\0" + struct.pack("<I", len(header)) + header + b"abc"
    regions = NpyParser().parse(BytesSource(file))
    assert regions is not None
    assert [(r.name, r.size) for r in regions] == [("", HEADER_LIMIT), ("arr_0", 3)]


ARRAYS = {"w": np.ones((40, 3), np.float32), "folder/b": np.zeros(7, np.int16)}


def test_arrays_in_an_archive_are_found() -> None:
    out = io.BytesIO()
    np.savez(out, **ARRAYS)
    file = out.getvalue()
    regions = ZipParser().parse(BytesSource(file))
    assert regions is not None
    assert covers(regions, len(file))
    found = [(r.name, r.element.name, r.shape, r.size) for r in regions if r.name]
    assert found == [("w", "F32", (40, 3), 480), ("folder/b", "I16", (7,), 14)]


def test_compressed_arrays_are_unknown_bytes() -> None:
    out = io.BytesIO()
    np.savez_compressed(out, **ARRAYS)
    assert isinstance(open_cutter("a.npz", BytesSource(out.getvalue())), CdcCutter)


def test_a_compressed_array_beside_others_is_plain_bytes() -> None:
    parts = [(f"{name}.npy", saved(array)) for name, array in ARRAYS.items()]
    regions = ZipParser().parse(BytesSource(zipped(parts, deflated=["w.npy"])))
    assert regions is not None
    assert [r.name for r in regions if r.element is not ElementType.BYTES] == ["folder/b"]


def test_a_malformed_array_in_an_archive_is_plain_bytes() -> None:
    good = saved(np.ones(5, np.float32))
    file = zipped([("good.npy", good), ("bad.npy", GOOD[:-1]), ("none.npy", b"")])
    regions = ZipParser().parse(BytesSource(file))
    assert regions is not None
    assert [(r.name, r.size) for r in regions if r.name] == [("good", 20)]
