"""Whatever tensors are written into a model file, its parser finds exactly these."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking import gguf
from modelfloat.cas.chunking.gguf import GgufParser
from modelfloat.cas.chunking.onnx import OnnxParser
from modelfloat.cas.chunking.onnxdata import OnnxDataParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.tests.support.gguffiles import ARRAY, FORMATS, STRING, GgufFile, Tensor
from modelfloat.tests.support.onnxfiles import (
    TYPES,
    attribute,
    external,
    graph,
    model,
    node,
    simple,
    tensor,
    text,
)
from modelfloat.tests.support.sources import BytesSource, Shelf, noise

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SCALARS = st.sampled_from(sorted(FORMATS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.booleans() if kind == 7 else st.integers(0, 100))
)
STRINGS = st.tuples(st.just(STRING), st.text(max_size=9).filter(str.isprintable))
VALUES = st.recursive(
    SCALARS | STRINGS,
    lambda inner: st.tuples(
        st.just(ARRAY),
        st.tuples(inner, st.integers(0, 4)).map(lambda pair: (pair[0][0], [pair[0][1]] * pair[1])),
    ),
    max_leaves=6,
)


@st.composite
def gguf_tensors(draw: st.DrawFn) -> list[Tensor]:
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    return [_gguf_tensor(draw, name) for name in names]


def _gguf_tensor(draw: st.DrawFn, name: str) -> Tensor:
    element = draw(st.sampled_from(sorted(gguf._TYPES.values())))
    shape = draw(st.lists(st.integers(1, 4), max_size=4))
    if element.block.elements > 1:
        shape = [*shape[:3], element.block.elements * draw(st.integers(1, 3))]
    count = 1
    for size in shape:
        count *= size
    size = count // element.block.elements * element.block.bytes
    return Tensor(name, tuple(shape), element, noise(len(name), size))


def _check(file: bytes, regions: list[Region] | None, written: list[Tensor]) -> None:
    assert regions is not None
    assert covers(regions, len(file))
    found = [region for region in regions if region.name]
    assert [(r.name, r.shape, r.element) for r in found] == [
        (one.name, one.shape, one.element) for one in written
    ]
    for region, one in zip(found, written, strict=True):
        assert file[region.offset : region.offset + region.size] == one.data
    assert all(r.element is ElementType.BYTES for r in regions if not r.name)


@settings(max_examples=150, deadline=None)
@given(
    tensors=gguf_tensors(),
    keys=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    version=st.sampled_from(gguf.VERSIONS),
    alignment=st.sampled_from([1, 8, 32, 256]),
)
def test_gguf(
    tensors: list[Tensor], keys: list[tuple[str, tuple[int, object]]], version: int, alignment: int
) -> None:
    model = GgufFile(tensors, [(key, *value) for key, value in keys], version, alignment)
    file = model.bytes()
    _check(file, GgufParser().parse(BytesSource(file)), tensors)


@st.composite
def onnx_tensors(draw: st.DrawFn) -> list[Tensor]:
    names = draw(st.lists(NAMES.filter(lambda name: "#" not in name), unique=True, max_size=6))
    return [_onnx_tensor(draw, name) for name in names]


def _onnx_tensor(draw: st.DrawFn, name: str) -> Tensor:
    element = draw(st.sampled_from(sorted(TYPES)))
    shape = draw(st.lists(st.integers(1, 5), max_size=5))
    count = 1
    for size in shape:
        count *= size
    size = -(-count // element.block.elements) * element.block.bytes
    return Tensor(name, tuple(shape), element, noise(len(name), size))


@st.composite
def graphs(draw: st.DrawFn, tensors: list[Tensor], depth: int = 0) -> tuple[bytes, list[Tensor]]:
    """A graph that holds all of `tensors` somewhere, and them in the order they are written in."""
    cut = draw(st.integers(0, len(tensors)))
    inner, own = (tensors[:cut], tensors[cut:]) if depth < 5 else ([], tensors)
    nodes, order = [node("Relu", ["x"], ["y"])], []
    if inner and draw(st.booleans()):
        message, order = draw(graphs(inner, depth + 1))
        nodes.append(node("If", ["c"], ["z"], attribute("then_branch", 6, message)))
    else:
        nodes += [node("Constant", [], ["c"], attribute("v", 5, _written(t))) for t in inner]
        order = inner
    return graph(nodes, [_written(t, packed=draw(st.booleans())) for t in own]), order + own


def _written(one: Tensor, *, packed: bool = True) -> bytes:
    return tensor(one.name, one.element, one.shape, one.data, packed=packed)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), tensors=onnx_tensors(), more=st.binary(max_size=9))
def test_onnx(data: st.DataObject, tensors: list[Tensor], more: bytes) -> None:
    message, order = data.draw(graphs(tensors))
    file = model(message, more=text(99, more))
    regions = OnnxParser().parse(BytesSource(file))
    if order:
        _check(file, regions, order)
    else:
        assert regions is None


@settings(max_examples=100, deadline=None)
@given(tensors=onnx_tensors(), gaps=st.lists(st.integers(0, 70), min_size=7, max_size=7))
def test_onnx_external_data(tensors: list[Tensor], gaps: list[int]) -> None:
    file, told = bytearray(), []
    for one, gap in zip(tensors, gaps, strict=False):
        file += bytes(gap)
        where = external("w", len(file), len(one.data))
        told.append(tensor(one.name, one.element, one.shape, more=where))
        file += one.data
    shelf = Shelf("", {"model.onnx": simple(*reversed(told)), "w": bytes(file + bytes(gaps[-1]))})
    regions = OnnxDataParser().parse(shelf.source("w"))
    if tensors:
        _check(shelf.files["w"], regions, tensors)
    else:
        assert regions is None
