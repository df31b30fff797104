"""Whatever tensors are written into a file of PyTorch's, exactly these are found in it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.chunking.torchtypes import DTYPES, STORAGES
from modelfloat.cas.chunking.ziparchive import ZipParser
from modelfloat.cas.formats.regiontable import names_of
from modelfloat.tests.support.sources import BytesSource, noise
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, torch_zip

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
KINDS = [kind for kind, element in STORAGES.items() if element is not ElementType.UNKNOWN]
UNTYPED = [dtype for dtype, element in DTYPES.items() if element.block.elements == 1]
SHAPES = st.lists(st.integers(1, 4), max_size=4).map(tuple)


@st.composite
def storages(draw: st.DrawFn, key: str) -> tuple[bytes, list[FakeTensor], ElementType]:
    """A storage with tensors one behind the other, elements between them that are nobody's."""
    dtype = draw(st.none() | st.sampled_from(UNTYPED))
    kind = "UntypedStorage" if dtype else draw(st.sampled_from(KINDS))
    element = DTYPES[dtype] if dtype else STORAGES[kind]
    position, places = 0, []
    for shape in draw(st.lists(SHAPES, max_size=4)):
        position += draw(st.sampled_from([0, 0, 3]))
        places.append((position, shape))
        count = 1
        for length in shape:
            count *= length
        position += count
    position += draw(st.integers(0, 2))
    size = position * element.size
    storage = FakeStorage(kind, key, size if dtype else position)
    tensors = [FakeTensor(storage, s, p, None, dtype, draw(st.booleans())) for p, s in places]
    return noise(int(key), size), tensors, element


def _nested(names: list[list[str]], tensors: list[FakeTensor]) -> dict[str, object]:
    root: dict[str, object] = {}
    for path, tensor in zip(names, tensors, strict=True):
        here = root
        for part in path[:-1]:
            here = here.setdefault(part, {})  # type: ignore[assignment]
        here[path[-1]] = tensor
    return root


@settings(max_examples=150, deadline=None)
@given(data=st.data(), count=st.integers(0, 4), protocol=st.integers(1, 5))
def test_torch(data: st.DataObject, count: int, protocol: int) -> None:
    made = [data.draw(storages(str(key))) for key in range(count)]
    tensors = [tensor for _, some, _ in made for tensor in some]
    # A number before each part: no path is another's beginning.
    paths = [
        [f"{i}-{part}" for part in data.draw(st.lists(NAMES, min_size=1, max_size=3))]
        for i in range(len(tensors))
    ]
    file = torch_zip(
        {"model": _nested(paths, tensors), "epoch": 3},
        {str(key): content for key, (content, _, _) in enumerate(made)},
        protocol=protocol,
        folder=data.draw(st.sampled_from(["archive", "größe", "a.b"])),
        aligned=data.draw(st.booleans()),
    )
    regions = ZipParser().parse(BytesSource(file))
    assert (regions is not None) == any(content for content, _, _ in made)
    if regions is None:
        return
    assert covers(regions, len(file))
    named = {region.name: region for region in regions if region.name}
    names = [".".join(["model", *path]) for path in paths]
    assert named.keys() == set(names)
    elements = [element for _, some, element in made for _ in some]
    contents = [content for content, some, _ in made for _ in some]
    for name, tensor, element, content in zip(names, tensors, elements, contents, strict=True):
        _check(file, named[name], tensor, element, content)


def _check(
    file: bytes, region: Region, tensor: FakeTensor, element: ElementType, content: bytes
) -> None:
    assert (region.element, region.shape) == (element, tensor.shape)
    start = tensor.offset * element.size
    stored = file[region.offset : region.offset + region.size]
    assert stored == content[start : start + len(stored)]


@settings(max_examples=300, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3)), max_size=5),
    elements=st.integers(1, 12),
)
def test_views_never_lose_a_byte(places: list[tuple[int, int, int]], elements: int) -> None:
    storage = FakeStorage("FloatStorage", "0", elements)
    tensors = {
        str(i): FakeTensor(storage, (length,), offset, (stride,))
        for i, (offset, length, stride) in enumerate(places)
    }
    file = torch_zip(tensors, {"0": noise(1, 4 * elements)})
    regions = ZipParser().parse(BytesSource(file))
    assert regions is not None
    assert covers(regions, len(file))
    for region in regions:
        for name in names_of(region):
            tensor = tensors[name]
            assert (region.size, region.shape) == (4 * tensor.shape[0], tensor.shape)
