"""Tensors in files beside an ONNX model: only what the model tells of this very file counts."""

import logging
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from modelfloat.cas.add.scan import Item
from modelfloat.cas.add.siblings import Folders
from modelfloat.cas.add.sources import BytesSource as FoundSource
from modelfloat.cas.chunking import onnxdata as subject
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter, open_cutter
from modelfloat.cas.chunking.onnxdata import OnnxDataParser
from modelfloat.cas.chunking.regions import ElementType, Region, covers
from modelfloat.cas.formats.tree import EntryType
from modelfloat.tests.support.onnxfiles import (
    FLOAT,
    external,
    graph,
    model,
    node,
    simple,
    tensor,
    value_info,
)
from modelfloat.tests.support.sources import BytesSource, Shelf, noise

E = ElementType
DATA = noise(1, 100)


def _outside(
    name: str, offset: int | str | None, length: int | str | None, where: str | bytes = "w"
) -> bytes:
    return tensor(name, E.F32, (6,), more=external(where, offset, length))


def _parse(files: dict[str, bytes], name: str = "w") -> list[Region] | None:
    regions = OnnxDataParser().parse(Shelf("", files).source(name))
    assert regions is None or covers(regions, len(files[name]))
    return regions


def _told(regions: list[Region] | None) -> list[tuple[str, int, int]]:
    assert regions is not None
    return [(region.name, region.offset, region.size) for region in regions]


def test_what_a_runtime_reads_from_another_file_is_found(tmp_path: Path) -> None:
    """A model that onnxruntime accepts and runs, whose weights stand in the file beside it."""
    weights = [np.arange(6, dtype=np.float32) + i for i in (0, 10)]
    main = graph(
        [node("Add", ["x", "a"], ["s"]), node("Add", ["s", "b"], ["y"])],
        [_outside("a", 0, 24, "model.onnx_data"), _outside("b", 64, 24, "model.onnx_data")],
        inputs=[value_info("x", FLOAT, (6,))],
        outputs=[value_info("y", FLOAT, (6,))],
    )
    data = weights[0].tobytes() + bytes(40) + weights[1].tobytes() + b"end"
    (tmp_path / "model.onnx").write_bytes(model(main))
    file = tmp_path / "model.onnx_data"
    file.write_bytes(data)
    session = onnxruntime.InferenceSession(
        tmp_path / "model.onnx", providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": np.zeros(6, np.float32)})
    np.testing.assert_array_equal(y, weights[0] + weights[1])
    item = Item.found((b"x",), os.fsencode(file), EntryType.FILE, file.stat())
    source = FoundSource(data, Folders().beside(item))
    assert OnnxDataParser().parse(source) == [
        Region(0, 24, E.F32, "a", (6,)),
        Region(24, 40, E.BYTES),
        Region(64, 24, E.F32, "b", (6,)),
        Region(88, 3, E.BYTES),
    ]
    assert isinstance(open_cutter("model.onnx_data", source), SpanCutter)


def test_tensors_may_be_listed_in_any_order_and_share_their_bytes() -> None:
    told = simple(_outside("b", 24, 24), _outside("a", 0, 24), _outside("tied", 0, 24))
    assert _told(_parse({"m.onnx": told, "w": DATA[:48]})) == [("a", 0, 24), ("b", 24, 24)]


def test_without_an_offset_or_length_the_shape_tells() -> None:
    told = simple(_outside("a", None, None))
    assert _told(_parse({"m.onnx": told, "w": DATA[:24]})) == [("a", 0, 24)]


def test_a_length_that_does_not_fit_the_shape_leaves_the_type_unknown() -> None:
    told = simple(_outside("a", 0, 20))
    assert _parse({"m.onnx": told, "w": DATA[:20]}) == [Region(0, 20, E.UNKNOWN, "a")]


def test_the_model_that_the_file_is_named_after_comes_first() -> None:
    files = {
        "a.onnx": simple(_outside("wrong", 0, 24, "b.onnx_data")),
        "b.onnx": simple(_outside("right", 0, 24, "b.onnx_data")),
        "b.onnx_data": DATA[:24],
    }
    shelf = Shelf("", files)
    assert _told(OnnxDataParser().parse(shelf.source("b.onnx_data"))) == [("right", 0, 24)]
    assert shelf.looks == ["b.onnx"]


def test_another_model_is_asked_where_the_first_does_not_fit() -> None:
    files = {
        "a.onnx": simple(_outside("wrong", 90, 24)),
        "b.onnx": b"no model",
        "c.onnx": simple(_outside("right", 0, 24)),
        "w": DATA,
    }
    assert _told(_parse(files)) == [("right", 0, 24), ("", 24, 76)]


def test_a_model_may_tell_of_many_files() -> None:
    told = simple(*(_outside(f"t{i}", 0, 24, f"./file{i}") for i in range(9)))
    files = {"m.onnx": told} | {f"file{i}": DATA[:24] for i in range(9)}
    for i in range(9):
        assert _told(_parse(files, f"file{i}")) == [(f"t{i}", 0, 24)]


@pytest.mark.parametrize("files", [1, 1000])
def test_a_model_is_read_once_for_all_files_of_its_folder(files: int) -> None:
    told = {"a.onnx": simple(_outside("a", 0, 24)), "b.onnx": simple(_outside("b", 0, 24))}
    shelf = Shelf("", told | {f"unknown{i}": DATA for i in range(files)})
    for i in range(files):
        assert OnnxDataParser().parse(shelf.source(f"unknown{i}")) is None
    assert shelf.looks == ["a.onnx", "b.onnx"]


def test_a_folder_without_models_costs_nothing() -> None:
    shelf = Shelf("", {"w": DATA, "x.gguf": DATA})
    assert OnnxDataParser().parse(shelf.source("w")) is None
    assert (shelf.looks, shelf.kept) == ([], {})
    assert OnnxDataParser().parse(BytesSource(DATA)) is None


HOSTILE = {
    "overlap": simple(_outside("a", 0, 24), _outside("b", 20, 24)),
    "beyond the file": simple(_outside("a", 80, 24)),
    "far beyond the file": simple(_outside("a", 1 << 63, 24)),
    "length 2^63": simple(_outside("a", 0, 1 << 63)),
    "thousand digits": simple(_outside("a", "1" * 1000, 24)),
    "negative offset": simple(_outside("a", -24, 24)),
    "negative length": simple(_outside("a", 0, -1)),
    "other digits": simple(_outside("a", "٣", 24)),
    "no number": simple(_outside("a", "0x0", 24)),
    "empty": simple(_outside("a", 0, 0)),
    "nothing tells how many": simple(tensor("a", 26, (6,), more=external("w", 0, None))),
    "2^1000 elements": simple(tensor("a", E.F32, (1 << 50,) * 20, more=external("w", 0, None))),
    "another file": simple(_outside("a", 0, 24, "v")),
    "folder above": simple(_outside("a", 0, 24, "../w")),
    "folder and back": simple(_outside("a", 0, 24, "x/../w")),
    "absolute": simple(_outside("a", 0, 24, "/w")),
    "behind a NUL": simple(_outside("a", 0, 24, "w\0")),
    "no text": simple(_outside("a", 0, 24, b"\xff")),
    "no location": simple(_outside("a", 0, 24, "")),
    "malformed": simple(_outside("a", 0, 24))[:-1],
    "empty model": b"",
}


@pytest.mark.parametrize("told", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_models_leave_the_file_unknown(told: bytes) -> None:
    shelf = Shelf("", {"m.onnx": told, "w": DATA})
    assert OnnxDataParser().parse(shelf.source("w")) is None
    assert isinstance(open_cutter("w", shelf.source("w")), CdcCutter)
    assert set(shelf.looks) == {"m.onnx"}


def test_what_does_not_fit_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _parse({"a.onnx": HOSTILE["overlap"], "b.onnx": HOSTILE["malformed"], "w": DATA})
    assert [record.levelname for record in caplog.records] == ["DEBUG"] * 2


def test_tensors_of_one_folder_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "EXTERNAL_LIMIT", 3)
    two = simple(_outside("a", 0, 24), _outside("b", 24, 24))
    files = {"a.onnx": two, "b.onnx": two.replace(b"w", b"v"), "w": DATA[:48], "v": DATA[:48]}
    shelf = Shelf("", files)
    assert OnnxDataParser().parse(shelf.source("w")) is not None
    assert OnnxDataParser().parse(shelf.source("v")) is None


def test_tensors_of_one_folder_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "ROOM", 3000)
    good = simple(_outside("a", 0, 24), _outside("b", 24, 24))
    large = simple(_outside("a" * 1000, 0, 24), _outside("b" * 1000, 24, 24))
    shelf = Shelf("", {"a.onnx": large, "b.onnx": good, "w": DATA[:48]})
    regions = OnnxDataParser().parse(shelf.source("w"))
    assert regions is not None
    assert [region.name for region in regions] == ["a", "b"]


def test_the_model_that_a_file_is_named_after_is_read_though_it_is_not_listed() -> None:
    told = simple(_outside("a", 0, 24, "z.onnx.data"), _outside("b", 24, 24, "z.onnx.data"))
    shelf = Long("", {"a.onnx": simple(), "z.onnx": told, "z.onnx.data": DATA[:48]})
    regions = OnnxDataParser().parse(shelf.source("z.onnx.data"))
    assert regions is not None
    assert [region.name for region in regions] == ["a", "b"]


class Long(Shelf):
    """A folder that has more models than are listed."""

    def names(self, suffix: str) -> list[str]:
        return super().names(suffix)[:1]


def test_models_of_one_folder_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MODEL_LIMIT", 2)
    shelf = Shelf("", {f"{i}.onnx": simple() for i in range(9)} | {"w": DATA})
    for _ in range(2):
        assert OnnxDataParser().parse(shelf.source("w")) is None
    assert shelf.looks == ["0.onnx", "1.onnx"]


def test_work_on_the_models_of_one_folder_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "WORK_LIMIT", 1)
    shelf = Shelf("", {f"{i}.onnx": simple() for i in range(9)} | {"w": DATA})
    assert OnnxDataParser().parse(shelf.source("w")) is None
    assert shelf.looks == ["0.onnx"]
