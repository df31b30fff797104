"""Whatever tensors are written into a model file, its parser finds exactly these."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking import gguf
from modelfloat.cas.chunking.gguf import GgufParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.tests.support.gguffiles import ARRAY, FORMATS, STRING, GgufFile, Tensor
from modelfloat.tests.support.sources import BytesSource, noise

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
        (tensor.name, tensor.shape, tensor.element) for tensor in written
    ]
    for region, tensor in zip(found, written, strict=True):
        assert file[region.offset : region.offset + region.size] == tensor.data
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
