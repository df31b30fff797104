"""The files that the benches write are what they say: readers that are not theirs agree."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from modelfloat.bench import buffers
from modelfloat.bench.finetune import trained_names
from modelfloat.bench.tensorfiles import (
    Tensor,
    read_safetensors,
    write_gguf,
    write_onnx,
    write_safetensors,
)
from modelfloat.cas.chunking.cutter import PARSERS, find_regions
from modelfloat.cas.chunking.regions import ElementType
from tests.support.sources import BytesSource

FIRST = np.arange(12, dtype=np.float32).reshape(3, 4)
SECOND = np.linspace(-1, 1, 5, dtype=np.float32)
TENSORS = [
    Tensor("first", "F32", FIRST.shape, FIRST.tobytes()),
    Tensor("second", "F32", SECOND.shape, SECOND.tobytes()),
]


def test_safetensors_are_read_by_their_library(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", TENSORS)
    with safe_open(path, "numpy") as file:
        assert np.array_equal(file.get_tensor("first"), FIRST)
        assert np.array_equal(file.get_tensor("second"), SECOND)
    assert [(t.name, t.shape, bytes(t.data)) for t in read_safetensors(path)] == [
        (t.name, t.shape, t.data) for t in TENSORS
    ]


@pytest.mark.parametrize("write", [write_gguf, write_onnx])
def test_a_parser_finds_every_tensor(
    write: Callable[[Path, list[Tensor]], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / f"model.{write.__name__[6:]}", TENSORS)
    data = path.read_bytes()
    regions = find_regions(path.name, BytesSource(data), PARSERS)
    assert regions is not None
    found = {r.name: (r.element, r.shape, data[r.offset : r.offset + r.size]) for r in regions}
    for tensor in TENSORS:
        element, shape, content = found[tensor.name]
        assert element is ElementType.F32
        assert sorted(shape) == sorted(tensor.shape)
        assert content == tensor.data


def test_e4m3_values_are_those_of_the_specification() -> None:
    values = buffers.e4m3_values()
    assert values[0] == 0
    assert values[1] == 2.0**-9
    assert values[0b0111_000] == 1
    assert values[-1] == buffers.E4M3_MAX
    assert all(low < high for low, high in pairwise(values))


@pytest.mark.parametrize("kind", buffers.KINDS, ids=lambda kind: kind.name)
def test_a_buffer_is_as_long_as_asked_for_and_always_the_same(kind: buffers.Kind) -> None:
    data = buffers.raw(kind, 1 << 16)
    assert len(data) == 1 << 16
    assert data == buffers.raw(kind, 1 << 16)
    assert ElementType[kind.dtype].size == kind.width


def test_a_cast_to_bf16_rounds_to_the_nearest() -> None:
    given = np.array([1.0, 1.00390625, 1.01171875, -2.5], np.float32)
    back = (buffers.bf16(given).astype(np.uint32) << 16).view(np.float32)
    assert back.tolist() == [1.0, 1.0, 1.015625, -2.5]


def test_a_third_of_the_tensors_is_trained() -> None:
    names = trained_names()
    assert len(set(names)) == len(names) == 34
