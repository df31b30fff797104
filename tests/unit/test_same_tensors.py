"""The same tensor in whatever format: the same chunks, stored once."""

import io
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from modelfloat.cas.chunking.cutter import open_cutter
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType
from modelfloat.tests.support.gguffiles import GgufFile, Tensor
from modelfloat.tests.support.onnxfiles import external, simple, tensor
from modelfloat.tests.support.sources import (
    BytesSource,
    Shelf,
    cut_all,
    info,
    noise,
    safetensors_file,
)
from modelfloat.tests.support.stores import add, fresh_store, read
from modelfloat.tests.support.torchzips import FakeStorage, FakeTensor, torch_zip

SIZE = 5 * MAX_CHUNK // 2  # two of them make a large file
WEIGHTS = {"a": noise(1, SIZE), "b": noise(2, SIZE)}
SHAPE = (2, SIZE // 4)
F16 = ElementType.F16


def _safetensors() -> bytes:
    infos = {n: info("F16", list(SHAPE), i * SIZE, (i + 1) * SIZE) for i, n in enumerate(WEIGHTS)}
    return safetensors_file(infos, b"".join(WEIGHTS.values()))


def _gguf() -> bytes:
    return GgufFile([Tensor(name, SHAPE, F16, data) for name, data in WEIGHTS.items()]).bytes()


def _onnx() -> bytes:
    return simple(*(tensor(name, F16, SHAPE, data) for name, data in WEIGHTS.items()))


def _torch() -> bytes:
    """One storage for each tensor, and both in one: as they are saved, and as views are."""
    storages = {name: FakeStorage("HalfStorage", name, SIZE // 2) for name in WEIGHTS}
    return torch_zip({n: FakeTensor(s, SHAPE) for n, s in storages.items()}, WEIGHTS)


def _views() -> bytes:
    both = FakeStorage("HalfStorage", "0", SIZE)
    views = {name: FakeTensor(both, SHAPE, i * SIZE // 2) for i, name in enumerate(WEIGHTS)}
    return torch_zip(views, {"0": b"".join(WEIGHTS.values())})


def _npz() -> bytes:
    out = io.BytesIO()
    np.savez(out, **{n: np.frombuffer(d, "<f2").reshape(SHAPE) for n, d in WEIGHTS.items()})
    return out.getvalue()


def _external() -> dict[str, bytes]:
    told = [
        tensor(name, F16, SHAPE, more=external("model.onnx_data", i * (SIZE + 4096), SIZE))
        for i, name in enumerate(WEIGHTS)
    ]
    return {"model.onnx": simple(*told), "model.onnx_data": bytes(4096).join(WEIGHTS.values())}


FILES = {
    "model.safetensors": BytesSource(_safetensors()),
    "model.gguf": BytesSource(_gguf()),
    "model.onnx": BytesSource(_onnx()),
    "pytorch_model.bin": BytesSource(_torch()),
    "views.pt": BytesSource(_views()),
    "model.npz": BytesSource(_npz()),
    "model.onnx_data": Shelf("", _external()).source("model.onnx_data"),
}


def _chunks(name: str) -> dict[bytes, ElementType]:
    """Every chunk of 64 KiB or more, and what it consists of."""
    source, found, at = FILES[name], {}, 0
    for span in cut_all(open_cutter(name, source), source.data, repeat(0)):
        if span.size >= 64 << 10:
            found[blake3(source.data[at : at + span.size]).digest()] = span.element
        at += span.size
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_tensor_gives_the_same_chunks_in_every_format(name: str) -> None:
    chunks = _chunks(name)
    assert chunks == _chunks("model.safetensors")
    assert len(chunks) == 6
    assert set(chunks.values()) == {F16}


async def test_a_model_in_six_formats_is_stored_once(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "external").mkdir(parents=True)
    files = {name: source.data for name, source in FILES.items() if ".onnx" not in name}
    for name, data in (files | {f"external/{n}": d for n, d in _external().items()}).items():
        (folder / name).write_bytes(data)
    (folder / "inside.onnx").write_bytes(FILES["model.onnx"].data)
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, folder)
        assert report.logical > 14 * SIZE
        assert report.new < 2 * SIZE + (64 << 10)
        assert await read(store, "acme/model/inside.onnx") == FILES["model.onnx"].data
        assert await read(store, "acme/model/views.pt") == FILES["views.pt"].data


async def test_external_data_is_understood_where_all_files_are_links(tmp_path: Path) -> None:
    """As in a Hugging Face cache: names link to blobs in another folder."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for number, (name, data) in enumerate(_external().items()):
        (tmp_path / "blobs" / str(number)).write_bytes(data)
        (tmp_path / "snapshot" / name).symlink_to(f"../blobs/{number}")
    (tmp_path / "model.gguf").write_bytes(_gguf())
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "model.gguf")
        report = await add(store, tmp_path / "snapshot")
        assert report.already == 2 * SIZE
