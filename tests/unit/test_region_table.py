"""Region tables: what an add keeps of a file's structure, and which chunks are tensor X."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.chunking.regions import MAX_CHUNK, ElementType, Region
from modelfloat.cas.chunking.safetensors import SafetensorsParser
from modelfloat.cas.diff.diff import compare
from modelfloat.cas.formats.manifest import (
    TAG_REGIONS,
    ChunkRef,
    Manifest,
    decode_manifest,
    decode_page,
    encode_entries,
    encode_manifest,
)
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.regiontable import (
    DIMENSIONS,
    INLINE_TABLE,
    NAME_SIZE,
    PAGE_SIZE,
    TABLE_SIZE,
    TablePart,
    _in_common,
    decode_region_page,
    decode_regions,
    encode_regions,
)
from modelfloat.cas.formats.varint import MOST
from modelfloat.cas.read.recipe import Recipe
from modelfloat.cas.read.regions import RegionTable, tensors_of
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ChunkDamagedError, FormatError
from modelfloat.ids import ChunkId
from modelfloat.opening import open_store, rebuild_store
from modelfloat.tests.support.gguffiles import GgufFile
from modelfloat.tests.support.gguffiles import Tensor as GgufTensor
from modelfloat.tests.support.rescuing import rescue
from modelfloat.tests.support.samples import id_of, noise
from modelfloat.tests.support.stores import add, fresh_store, read, weights
from modelfloat.tests.support.tensors import u8, write

U8, F32 = ElementType.U8, ElementType.F32


def manifest_of(store: Store, address: str) -> Manifest:
    return store.objects.manifest(store.find(parse_address(address)).object)


def safetensors(path: Path, sizes: dict[str, int], label: str = "tensors") -> bytes:
    """A file of U8 tensors of these sizes."""
    info, at = {}, 0
    for name, size in sizes.items():
        info[name] = {"dtype": "U8", "shape": [size], "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(info).encode()
    data = len(header).to_bytes(8, "little") + header + noise(label, at)
    path.write_bytes(data)
    return data


def plain(regions: Sequence[Region], size: int) -> Manifest:
    """A manifest with this table over one chunk each of at most 1000 bytes."""
    refs = [ChunkRef(ChunkId(id_of("c")), min(1000, size - at)) for at in range(0, size, 1000)]
    made = encode_manifest(size, bytes(32), encode_entries(refs), None, regions)
    return decode_manifest(made[-1])


def no_pages(_id: object) -> bytes:
    raise AssertionError("a page was read")


@pytest.mark.parametrize("size", [200_000, 9_000_000])
async def test_small_and_large_files_keep_their_table(tmp_path: Path, size: int) -> None:
    data = weights(tmp_path / "model.safetensors", size)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model.safetensors")
        assert await read(store, "acme/model/model.safetensors") == data
        found = list(store.objects.regions(manifest_of(store, "acme/model/model.safetensors")))
    assert [each.name for each in found] == ["", *(f"layer.{i}.weight" for i in range(5))]
    assert [each.element for each in found] == [ElementType.BYTES, *[U8] * 5]
    assert found[-1].offset + found[-1].size == len(data)
    assert found[1].shape == (size // 5,)


async def test_a_file_without_structure_has_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no structure " * 1000)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "text")
        manifest = manifest_of(store, "acme/model/text")
        assert TAG_REGIONS not in manifest.extensions
        assert not store.objects.regions(manifest)
        assert list(store.objects.regions(manifest)) == []
        assert list(store.tensors(parse_address("acme/model/text"))) == []


async def test_the_same_file_gives_the_same_manifest_and_stores_nothing(tmp_path: Path) -> None:
    weights(tmp_path / "model.safetensors")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model.safetensors")
        first = store.find(parse_address("acme/model/model.safetensors")).object
        weights(tmp_path / "again.safetensors")
        report = await add(store, tmp_path / "again.safetensors")
        assert report.new == 0
        assert store.find(parse_address("acme/model/again.safetensors")).object == first


async def test_a_safetensors_file_of_an_earlier_release_gets_a_table_and_no_new_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = weights(tmp_path / "model.safetensors")
    address = parse_address("acme/model")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch:
            patch.setattr("modelfloat.cas.formats.manifest.encode_regions", lambda *_: [])
            await add(store, tmp_path / "model.safetensors")
        before = manifest_of(store, "acme/model/model.safetensors")
        assert not before.regions
        again = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").write_bytes(again)
        report = await store.add([str(tmp_path / "model.safetensors")], address)
        after = manifest_of(store, "acme/model/model.safetensors")
        assert (report.new, report.deduplicated) == (0, len(data))
        assert after.regions
        assert (after.blake3, after.inline) == (before.blake3, before.inline)


async def test_a_file_of_a_format_that_was_not_known_is_stored_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once: what an earlier release cut by content shares no chunk with cuts along tensors."""
    tensors = [GgufTensor(f"w{i}", (250, 1000), F32, noise(f"w{i}", 1_000_000)) for i in range(3)]
    path = tmp_path / "model.gguf"
    path.write_bytes(data := GgufFile(tensors).bytes())
    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch:
            patch.setattr("modelfloat.cas.chunking.cutter.PARSERS", (SafetensorsParser(),))
            await add(store, path)
        os.utime(path, (0, 0))
        assert (await add(store, path)).new == len(data)
        os.utime(path, (1, 1))
        assert (await add(store, path)).new == 0
        assert await read(store, "acme/model/model.gguf") == data


async def test_a_long_table_lies_in_pages_that_everything_follows(tmp_path: Path) -> None:
    """gc keeps them, verify reaches them, a rebuilt index has them, rescue passes them over."""
    sizes = {f"{i}.{noise(f'n{i}', 40).hex()}": 100 for i in range(3000)}
    data = safetensors(tmp_path / "model.safetensors", sizes)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model.safetensors")
        await store.gc(grace=0.0)
        manifest = manifest_of(store, "acme/model/model.safetensors")
        assert (manifest.regions, manifest.pages) == (b"", ())
        assert manifest.region_pages
        names = [each.name for each in store.objects.regions(manifest)]
        assert names == ["", *sizes]
        assert (await store.verify()).exit_status == 0
        (tmp_path / "again.safetensors").write_bytes(data)
        request = AddRequest([str(tmp_path / "again.safetensors")], parse_address("acme/model"))
        assert (await store.carry_out(replace(request, move=True))).moved == 1
    shutil.rmtree(tmp_path / "store" / "index")
    assert (await rebuild_store(str(tmp_path / "store"))).exit_status == 0
    async with open_store(str(tmp_path / "store")) as store:
        manifest = manifest_of(store, "acme/model/again.safetensors")
        assert [each.name for each in store.objects.regions(manifest)] == ["", *sizes]
    backends = sorted((tmp_path / "store" / "backends").iterdir())
    rescue(tmp_path / "out", backends)
    assert (tmp_path / "out" / "acme" / "model" / "model.safetensors").read_bytes() == data


async def test_a_page_that_is_gone_is_a_file_that_is_read_again(tmp_path: Path) -> None:
    sizes = {f"{i}.{noise(f'n{i}', 40).hex()}": 100 for i in range(3000)}
    safetensors(tmp_path / "model.safetensors", sizes)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model.safetensors")
        manifest = manifest_of(store, "acme/model/model.safetensors")
        await store.index.write(store.index.drop_objects, [manifest.region_pages[0].id])
        report = await add(store, tmp_path / "model.safetensors")
        assert report.new == 0
        assert len(list(store.objects.regions(manifest))) == 3001


async def test_which_chunks_are_tensor_x(tmp_path: Path) -> None:
    sizes = {"norm": 500, "bias": 700, "large": 2 * MAX_CHUNK + 7, "tiny": 9, "last": 70_000}
    data = safetensors(tmp_path / "model.safetensors", sizes)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "model.safetensors")
        manifest = manifest_of(store, "acme/model/model.safetensors")
        spans = list(store.objects.recipe(manifest).all())
        found = list(store.tensors(parse_address("acme/model/model.safetensors")))
    assert [(t.name, t.type, t.shape, t.size) for t in found] == [
        (name, "U8", (size,), size) for name, size in sizes.items()
    ]
    end = len(data) - sum(sizes.values())
    for tensor in found:
        assert tensor.offset == end
        end += tensor.size
        chunks = [spans[i] for i in tensor.chunks]
        assert chunks[0].offset <= tensor.offset < chunks[0].offset + chunks[0].raw
        assert sum(chunk.raw for chunk in chunks) >= tensor.size
    assert [tensor.whole for tensor in found] == [False, False, True, True, True]
    assert [len(tensor.chunks) for tensor in found] == [1, 1, 3, 1, 1]


def test_chunk_numbers_count_through_pages() -> None:
    count = 14_000 + 3
    entries = encode_entries([ChunkRef(ChunkId(id_of("c")), 10)]) * count
    size = 10 * count
    regions = [Region(0, 139_995, F32), Region(139_995, size - 139_995, F32, "x")]
    *pages, last = encode_manifest(size, bytes(32), entries, None, regions)
    found = {object_id(page): page for page in pages}
    manifest = decode_manifest(last)
    recipe = Recipe(manifest, lambda id_: decode_page(found[id_]))
    (tensor,) = tensors_of(RegionTable(manifest, no_pages), recipe)
    assert (tensor.name, tensor.chunks) == ("x", range(13_999, 14_003))
    assert not tensor.whole


@pytest.mark.parametrize(
    "region",
    [
        Region(0, 100, U8, "n" * (NAME_SIZE + 1)),
        Region(0, 100, U8, "ö" * (NAME_SIZE // 2 + 1)),
        Region(0, 100, U8, "\ud800"),
        Region(0, 100, U8, "x", (1,) * (DIMENSIONS + 1)),
        Region(0, 100, U8, "x", (MOST + 1,)),
        Region(0, 99, U8, "x"),
        Region(0, 101, U8, "x"),
    ],
    ids=["name", "name in bytes", "no text", "dimensions", "dimension", "short", "long"],
)
def test_what_a_table_cannot_hold_makes_none(region: Region) -> None:
    assert encode_regions([region], 100) == []
    assert plain([region], 100).extensions == {}


def test_the_longest_that_a_table_holds() -> None:
    region = Region(0, 100, U8, "n" * NAME_SIZE, (MOST,) * DIMENSIONS)
    (part,) = encode_regions([region], 100)
    assert [Region(*each) for each in decode_regions(part.data)] == [region]


class _Counting(bytes):
    """Bytes that count how often something is taken out of them."""

    taken = 0

    def __getitem__(self, at: object) -> Self:
        self.taken += 1
        return super().__getitem__(at)  # type: ignore[call-overload,no-any-return] # any index


def test_long_names_are_not_compared_byte_by_byte() -> None:
    one, two = _Counting(b"n" * NAME_SIZE + b"1"), _Counting(b"n" * NAME_SIZE + b"2")
    assert _in_common(one, two) == NAME_SIZE
    assert one.taken + two.taken < 20


@given(st.binary(max_size=9), st.binary(max_size=9), st.binary(max_size=9))
def test_what_names_have_in_common(start: bytes, one: bytes, two: bytes) -> None:
    a, b = start + one, start + two
    common = _in_common(a, b)
    assert a[:common] == b[:common]
    assert common == min(len(a), len(b)) or a[common] != b[common]


def test_a_table_beyond_the_limit_is_none() -> None:
    name = "x" * (NAME_SIZE - 8)
    fits = TABLE_SIZE // NAME_SIZE
    # Names that differ at once share nothing.
    many = [Region(i, 1, U8, f"{i:08}"[::-1] + name) for i in range(fits + 100)]
    assert encode_regions(many, len(many)) == []
    parts = encode_regions(many[: fits // 2], fits // 2)
    assert all(len(part.data) <= PAGE_SIZE for part in parts)
    assert sum(part.count for part in parts) == fits // 2


def test_the_inline_limit() -> None:
    for count, inline in ((1, True), (INLINE_TABLE // 50, False)):
        many = [Region(i, 1, U8, f"{i}{noise(str(i), 30).hex()}") for i in range(count)]
        manifest = plain(many, count)
        assert bool(manifest.regions) is inline
        assert bool(manifest.region_pages) is not inline


def test_a_table_that_does_not_add_up_is_damage() -> None:
    manifest = plain([Region(0, 40, U8, "a"), Region(40, 60, U8, "b")], 100)
    for size in (99, 101, 40):
        other = Manifest(size, bytes(32), 1, extensions=manifest.extensions)
        with pytest.raises(ChunkDamagedError, match="does not add up"):
            list(RegionTable(other, no_pages))


def test_a_region_beyond_the_file_is_not_given() -> None:
    manifest = plain([Region(0, 40, U8, "a"), Region(40, 60, U8, "b")], 100)
    given = iter(RegionTable(replace(manifest, size=99), no_pages))
    assert next(given).name == "a"
    with pytest.raises(ChunkDamagedError, match="does not add up"):
        next(given)


async def test_verify_sees_a_table_that_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `diff` says so, where it must read it."""
    lie = partial(_one_region_longer, encode_regions)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, Path(write(tmp_path / "old.safetensors", {"x": u8("x", 100_000)})))
        with monkeypatch.context() as patch:
            patch.setattr("modelfloat.cas.formats.manifest.encode_regions", lie)
            await add(store, Path(write(tmp_path / "new.safetensors", {"x": u8("y", 100_000)})))
        report = await store.verify()
        assert report.exit_status == 3
        assert [problem.problem for problem in report.problems] == [
            "region tables that do not fit their files: 1; add these again with --reread"
        ]
        assert not report.lost_files
        sides = [parse_address(f"acme/model/{name}.safetensors") for name in ("old", "new")]
        with pytest.raises(ChunkDamagedError, match=r"new\.safetensors: a region table does not"):
            await compare(store, *sides)


def _one_region_longer(
    encode: Callable[[Iterable[Region], int], list[TablePart]],
    regions: Iterable[Region],
    size: int,
) -> list[TablePart]:
    *rest, last = regions
    return encode([*rest, replace(last, size=last.size + 5_000_000)], size + 5_000_000)


def test_pages_that_do_not_follow_each_other_are_damage() -> None:
    many = [Region(i, 1, U8, f"{i}{noise(str(i), 100).hex()}") for i in range(6000)]
    refs = encode_entries([ChunkRef(ChunkId(id_of("c")), 6000)])
    *pages, last = encode_manifest(6000, bytes(32), refs, None, many)
    assert len(pages) == 3
    swapped = [decode_region_page(pages[i]) for i in (0, 2, 1)]
    order = iter(swapped)
    with pytest.raises(ChunkDamagedError, match="does not add up"):
        list(RegionTable(decode_manifest(last), lambda _id: next(order)))


def test_a_version_that_is_not_known_is_refused() -> None:
    many = [Region(i, 1, U8, f"{i}{noise(str(i), 100).hex()}") for i in range(1000)]
    refs = encode_entries([ChunkRef(ChunkId(id_of("c")), 1000)])
    page, last = encode_manifest(1000, bytes(32), refs, None, many)
    assert last[5] == 2
    with pytest.raises(FormatError, match="this release reads 2: upgrade"):
        decode_manifest(last[:5] + b"\3" + last[6:])
    with pytest.raises(FormatError, match="this release reads 1: upgrade"):
        decode_region_page(page[:5] + b"\2" + page[6:])
    with pytest.raises(ChunkDamagedError):
        decode_manifest(last[:5] + b"\2" + last[6:60] + bytes(4) + last[64:-56])
