"""Sparse files: holes are not read, give the chunks that zeros give, and come back as holes."""

import os
from pathlib import Path

import pytest
from blake3 import blake3

from modelfloat.cas.add import holes
from modelfloat.cas.add.largefiles import WINDOW
from modelfloat.cas.add.scan import Item
from modelfloat.cas.chunking.cutter import CdcCutter, SpanCutter
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region
from modelfloat.cas.get.getting import get
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.zeros import RUN, zero_id, zeros
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import add, fresh_store

MIB = 1 << 20
LAYOUTS: dict[str, tuple[int, dict[int, int]]] = {
    "all hole": (3 * WINDOW, {}),
    "hole, then data": (30 * MIB, {29 * MIB: MIB}),
    "data, then hole": (30 * MIB + 17, {0: MIB}),
    "data around a hole": (40 * MIB, {0: 3 * MIB, 38 * MIB: 2 * MIB}),
    "holes too short to matter": (20 * MIB, {k * MIB: 4096 for k in range(0, 20, 2)}),
    "a hole that ends within a window": (30 * MIB, {21 * MIB + 4096: 8192}),
    "longer than a run": (RUN + 3 * WINDOW + 5, {0: 5, RUN + 2 * WINDOW: 4096}),
    "as long as windows": (4 * WINDOW, {0: WINDOW, 3 * WINDOW: WINDOW}),
}
layouts = pytest.mark.parametrize("layout", LAYOUTS)


def write(path: Path, layout: str, *, sparse: bool) -> None:
    """A file of noise where a layout has data, and zeros elsewhere: holes, or written ones."""
    size, data = LAYOUTS[layout]
    with path.open("wb") as file:
        if sparse:
            file.truncate(size)
        else:
            for at in range(0, size, MIB):
                file.write(bytes(min(MIB, size - at)))
        for offset, length in data.items():
            file.seek(offset)
            file.write(noise(layout, length))


@pytest.fixture
def read_offsets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offset of every window that is read."""
    offsets: list[int] = []
    real = holes.read_window

    def counted(item: Item, fd: int, offset: int, buffer: memoryview) -> int:
        offsets.append(offset)
        return real(item, fd, offset, buffer)

    monkeypatch.setattr(holes, "read_window", counted)
    return offsets


@layouts
async def test_a_hole_is_as_good_as_zeros(
    tmp_path: Path, layout: str, read_offsets: list[int]
) -> None:
    write(tmp_path / "sparse", layout, sparse=True)
    write(tmp_path / "dense", layout, sparse=False)
    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "sparse")
        windows = len(read_offsets)
        report = await add(store, tmp_path / "dense")
        assert report.new == 0
        found = [store.find(parse_address(f"acme/model/{n}")) for n in ("sparse", "dense")]
        assert found[0].target == found[1].target, "the same manifest, so the same bytes"
        # It is read in windows, and where they lie in holes they are left out.
        whole = len(read_offsets) - windows
        assert windows < whole or layout == "holes too short to matter"


async def test_a_hole_costs_no_reading(tmp_path: Path, read_offsets: list[int]) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(600 << 20)
        file.write(b"an island")
    async with fresh_store(tmp_path / "store") as store:
        report = await add(store, tmp_path / "sparse")
        assert report.logical == 1 << 30
        assert report.new < 3 * MIB
        assert len(read_offsets) <= 4
        await get(store, parse_address("acme/model/sparse"), str(tmp_path / "back"))
    back = tmp_path / "back"
    assert back.stat().st_size == 1 << 30
    assert back.stat().st_blocks * 512 <= 4 * MIB
    with back.open("rb") as file:
        file.seek((600 << 20) - 3)
        assert file.read(15) == bytes(3) + b"an island" + bytes(3)


async def test_a_filesystem_without_holes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sparse", "data around a hole", sparse=True)

    def unknown(_fd: int, _offset: int, _whence: int) -> int:
        raise OSError(22, "Invalid argument")

    async with fresh_store(tmp_path / "store") as store:
        await add(store, tmp_path / "sparse")
        with monkeypatch.context() as patch:
            patch.setattr(os, "lseek", unknown)
            (tmp_path / "sparse").rename(tmp_path / "again")
            report = await add(store, tmp_path / "again")
        assert (report.new, report.commit is None) == (0, False)


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize(
    "size", [0, 1, 4096, 131_072, MAX_CHUNK - 1, MAX_CHUNK, MAX_CHUNK + 1, 5 * MAX_CHUNK + 70_001]
)
def test_zeros_are_cut_without_being_looked_at(size: int, final: bool) -> None:
    region = Region(0, 2 * size + 1, ElementType.F8_E4M3)
    for make in (CdcCutter, lambda: SpanCutter([region])):
        assert make().cut_zeros(size, final) == make().cut(memoryview(bytes(size)), final)


def test_zeros() -> None:
    assert bytes(zeros(5)) == bytes(5)
    assert zeros(5).readonly
    assert zero_id(70_001) == blake3(bytes(70_001)).digest()
