"""The same tensors in files of other formats are the same tensors; and any change is told truly."""

import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from modelfloat.cas.chunking.regions import ElementType
from modelfloat.cas.diff.diff import compare
from modelfloat.cas.diff.difference import TensorChange
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.tests.support import onnxfiles
from modelfloat.tests.support.gguffiles import GgufFile
from modelfloat.tests.support.gguffiles import Tensor as GgufTensor
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store
from modelfloat.tests.support.tensors import Tensor, write
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, torch_zip

F32 = ElementType.F32
SHAPES = {"layers.0.weight": (300, 400), "layers.0.bias": (300,), "layers.1.weight": (40, 700)}


def model() -> dict[str, Tensor]:
    sizes = {name: 4 * int(np.prod(shape)) for name, shape in SHAPES.items()}
    return {n: ("F32", list(shape), noise(n, sizes[n])) for n, shape in SHAPES.items()}


def as_torch(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    found = {
        name: FakeTensor(FakeStorage("FloatStorage", str(i), len(data) // 4), tuple(shape))
        for i, (name, (_, shape, data)) in enumerate(tensors.items())
    }
    storages = {str(i): data for i, (_, _, data) in enumerate(tensors.values())}
    (folder / "pytorch_model.bin").write_bytes(torch_zip(found, storages))


def as_gguf(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    listed = [GgufTensor(n, tuple(shape), F32, data) for n, (_, shape, data) in tensors.items()]
    (folder / "model.gguf").write_bytes(GgufFile(listed).bytes())


def as_onnx(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    made = [onnxfiles.tensor(n, F32, shape, data) for n, (_, shape, data) in tensors.items()]
    (folder / "model.onnx").write_bytes(onnxfiles.simple(*made))


def as_onnx_data(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    made, body = [], b""
    for name, (_, shape, data) in tensors.items():
        where = onnxfiles.external("model.onnx_data", len(body), len(data))
        made.append(onnxfiles.tensor(name, F32, shape, more=where))
        body += data
    (folder / "model.onnx").write_bytes(onnxfiles.simple(*made))
    (folder / "model.onnx_data").write_bytes(body)


def as_npz(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    out = io.BytesIO()
    arrays = {n: np.frombuffer(data, "<f4").reshape(s) for n, (_, s, data) in tensors.items()}
    np.savez(out, **arrays)  # type: ignore[arg-type]
    (folder / "weights.npz").write_bytes(out.getvalue())


WRITERS: dict[str, Callable[[Path, Mapping[str, Tensor]], None]] = {
    "torch": as_torch,
    "gguf": as_gguf,
    "onnx": as_onnx,
    "onnx with external data": as_onnx_data,
    "npz": as_npz,
}


async def changes(store: Store, old: str, new: str) -> list[TensorChange]:
    with await compare(store, parse_address(old), parse_address(new)) as difference:
        return [t for file in difference.files() for t in difference.tensors(file)]


@pytest.mark.parametrize("kind", WRITERS)
async def test_a_model_that_was_converted_moved(tmp_path: Path, kind: str) -> None:
    changed = {**model(), "layers.0.bias": ("F32", [300], noise("other", 1200))}
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    write(one / "model.safetensors", model())
    for folder, tensors in ((two, model()), (three, changed)):
        folder.mkdir()
        WRITERS[kind](folder, tensors)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for folder in (one, two, three):
            await store.add([str(folder)], parse_address(f"acme/{folder.name}"))
        moved = await changes(store, "acme/one", "acme/two")
        after = await changes(store, "acme/one", "acme/three")
    assert [(t.kind, t.same_bytes) for t in moved] == [("moved", True)] * 3
    assert {t.new.name: t.new.shape for t in moved if t.new} == SHAPES
    assert all(t.new.type == "F32" for t in moved if t.new)
    assert {t.new.name: t.kind for t in after if t.new} == {
        **dict.fromkeys(SHAPES, "moved"),
        "layers.0.bias": "changed",
    }


def as_turned_torch(path: Path, strides: tuple[int, int], data: bytes) -> None:
    tensor = FakeTensor(FakeStorage("FloatStorage", "0", 90_000), (300, 300), strides=strides)
    path.write_bytes(torch_zip({"w": tensor}, {"0": data}))


def as_turned_npy(path: Path, strides: tuple[int, int], data: bytes) -> None:
    rows = np.frombuffer(data, "<f4").reshape(300, 300)
    np.save(path, rows if strides[0] > strides[1] else rows.T)


@pytest.mark.parametrize(("suffix", "save"), [("pt", as_turned_torch), ("npy", as_turned_npy)])
async def test_a_tensor_that_was_turned_is_not_as_it_was(
    tmp_path: Path, suffix: str, save: Callable[[Path, tuple[int, int], bytes], None]
) -> None:
    data = noise("turned", 360_000)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for name, strides in (("one", (300, 1)), ("two", (1, 300))):
            (tmp_path / name).mkdir()
            save(tmp_path / name / f"m.{suffix}", strides, data)
            await store.add([str(tmp_path / name)], parse_address(f"acme/{name}"))
        found = await changes(store, "acme/one", "acme/two")
    assert [(t.kind, t.same_bytes) for t in found] == [("reshaped", True)]
    assert [t.new.shape for t in found if t.new] == [(300, 300, 0, 1, 0)]


async def test_tied_weights_are_listed_under_each_name(tmp_path: Path) -> None:
    one, other = (FakeStorage("FloatStorage", key, 90_000) for key in "01")
    wte, data = FakeTensor(one, (300, 300)), noise("tied", 360_000)
    states = {
        "tied": ({"wte": wte, "lm_head": FakeTensor(one, (300, 300))}, {"0": data}),
        "apart": ({"wte": wte, "lm_head": FakeTensor(other, (300, 300))}, {"0": data, "1": data}),
        "without": ({"wte": wte}, {"0": data}),
    }
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for name, (state, storages) in states.items():
            (tmp_path / name).mkdir()
            (tmp_path / name / "m.pt").write_bytes(torch_zip(state, storages))
            await store.add([str(tmp_path / name)], parse_address(f"acme/{name}"))
        assert await changes(store, "acme/tied", "acme/apart") == []
        assert await changes(store, "acme/apart", "acme/tied") == []
        gone = await changes(store, "acme/tied", "acme/without")
    assert [(t.kind, t.old.name) for t in gone if t.old] == [("removed", "lm_head")]


def some_model(chance: random.Random) -> dict[str, dict[str, Tensor]]:
    """Files of a few tensors of few names, sizes and contents, so that much is alike."""
    files: dict[str, dict[str, Tensor]] = {}
    for file in chance.sample(["a", "b", "in/c", "in/d"], chance.randrange(1, 4)):
        names = chance.sample("pqrstuvw", chance.randrange(1, 7))
        files[f"{file}.safetensors"] = {name: some_tensor(chance) for name in names}
    return files


def some_tensor(chance: random.Random) -> Tensor:
    size = chance.choice([48, 48, 3_000, 66_000, 1_048_584, 1_200_000])
    data = noise(f"{chance.randrange(3)}", size)
    dtype, step = chance.choice([("U8", 1), ("F32", 4), ("F64", 8), ("F6_E2M3", 0)])
    shape = [size * 8 // 6] if not step else [size // step]
    if chance.random() < 0.3 and shape[0] % 2 == 0:
        shape = [2, shape[0] // 2]
    return dtype, shape, data


async def test_what_is_told_is_true(tmp_path: Path) -> None:
    """Random models: each tensor is told once, and what is said of its bytes is so."""
    chance = random.Random(4)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for turn in range(12):
            sides = [some_model(chance), some_model(chance)]
            for name, files in zip(("x", "y"), sides, strict=True):
                for file, tensors in files.items():
                    write(tmp_path / f"{turn}{name}" / file, tensors)
                folder = str(tmp_path / f"{turn}{name}")
                await store.add([folder], parse_address(f"acme/{turn}{name}"))
            found = await changes(store, f"acme/{turn}x", f"acme/{turn}y")
            check(sides[0], sides[1], found)


def check(
    old: dict[str, dict[str, Tensor]],
    new: dict[str, dict[str, Tensor]],
    found: list[TensorChange],
) -> None:
    before = {(f.encode(), n): t for f, tensors in old.items() for n, t in tensors.items()}
    after = {(f.encode(), n): t for f, tensors in new.items() for n, t in tensors.items()}
    for change in found:
        one = before.pop((change.old.file, change.old.name)) if change.old else None
        two = after.pop((change.new.file, change.new.name)) if change.new else None
        for side, tensor in ((change.old, one), (change.new, two)):
            if side and tensor:
                assert (side.type, list(side.shape), side.size) == (*tensor[:2], len(tensor[2]))
        assert change.same_bytes == bool(one and two and one[2] == two[2])
        assert change.kind == expected(change, one, two)
    # What is not told is as it was, or in a file that is as it was but for its name.
    assert sorted(map(repr, before.values())) == sorted(map(repr, after.values()))
    for key, tensor in before.items():
        assert after.get(key, tensor) == tensor


def expected(change: TensorChange, one: Tensor | None, two: Tensor | None) -> str:
    """What the kind of a change must be, by the sides that it names."""
    if one is None or two is None or change.old is None or change.new is None:
        return "added" if one is None else "removed"
    if change.old.name != change.new.name:
        assert change.same_bytes
        return "renamed"
    if one[0] != two[0]:
        return "retyped"
    if one[1] != two[1]:
        return "reshaped"
    return "moved" if change.same_bytes else "changed"
