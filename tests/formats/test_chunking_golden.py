"""Cuts and element numbers are part of the format: golden files pin them."""

import itertools
import json
from pathlib import Path

import pytest

from modelfloat.cas.chunking.cutter import CdcCutter, open_cutter
from modelfloat.cas.chunking.regions import ElementType
from modelfloat.tests.support.sources import (
    BytesSource,
    cut_all,
    info,
    noise,
    safetensors_file,
)

GOLDEN = Path(__file__).with_name("golden")
CUTS = json.loads((GOLDEN / "fastcdc-v1.json").read_text())
INPUTS = {
    "noise": lambda: noise(0, 8 << 20),
    "lines": lambda: b"".join(b"%d %d\n" % (i, i * i % 997) for i in range(400_000)),
    "zeros between noise": lambda: noise(1, 1 << 20) + bytes(3 << 20) + noise(2, 1 << 20),
}


@pytest.mark.parametrize("name", INPUTS)
def test_fastcdc_cuts_where_it_always_did(name: str) -> None:
    data = INPUTS[name]()
    spans = cut_all(CdcCutter(), data, itertools.repeat(2 << 20))
    assert [span.size for span in spans] == CUTS[name]


def test_element_types_have_their_numbers_and_blocks() -> None:
    golden = json.loads((GOLDEN / "blocks-v1.json").read_text())
    assert {e.name: [int(e), *e.block] for e in ElementType} == golden


def test_element_types_are_what_they_were_in_the_first_release() -> None:
    golden = json.loads((GOLDEN / "elements-v1.json").read_text())
    for name, (number, bits) in golden.items():
        element = ElementType(number)
        assert (element.name, 8 * element.block.bytes) == (name, bits * element.block.elements)
        assert element.size == max(1, bits // 8)


def test_a_safetensors_file_is_cut_where_it_always_was() -> None:
    golden = json.loads((GOLDEN / "safetensors-cuts-v1.json").read_text())
    sizes = [400, 3 << 20, 60_000, 60_000, 65_536, 2_500_000, *[40_000] * 30, 8]
    dtypes = ["U8", "F32", "F16", "F16", "BF16", "F32", *["F16"] * 30, "I64"]
    tensors, position = {}, 0
    for number, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True)):
        shape = [size // ElementType[dtype].size]
        tensors[f"layer.{number}"] = info(dtype, shape, position, position + size)
        position += size
    file = safetensors_file(tensors, bytes(position))
    spans = open_cutter("m.safetensors", BytesSource(file)).cut(memoryview(file), True)
    assert [[span.size, span.element.name] for span in spans] == golden
