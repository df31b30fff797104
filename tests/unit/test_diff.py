"""`diff`: files and tensors that were added, removed, changed, renamed, moved."""

import os
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from modelfloat.cas.add import largefiles, smallfiles
from modelfloat.cas.chunking.cutter import CdcCutter
from modelfloat.cas.diff import ledger
from modelfloat.cas.diff.diff import compare
from modelfloat.cas.diff.difference import Count, Summary
from modelfloat.cas.formats.manifest import Manifest
from modelfloat.cas.objects import Objects
from modelfloat.cas.read.filereader import FileReader
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import DataLostError, ModelFloatError, NotFoundError
from modelfloat.ids import ObjectId
from modelfloat.tests.support import stores
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.stores import fresh_store
from modelfloat.tests.support.tensors import Tensor, u8, write

LARGE, SMALL = 1_300_000, 2_000


class Found:
    """A difference as plain text: files as `kind old -> new`, tensors likewise."""

    def __init__(self, files: list[str], tensors: list[str], summary: Summary) -> None:
        self.files, self.tensors, self.summary = files, tensors, summary


async def diff(store: Store, old: str, new: str) -> Found:
    with await compare(store, parse_address(old), parse_address(new)) as difference:
        files, tensors = [], []
        for file in difference.files():
            sides = [side.path.decode() for side in (file.old, file.new) if side]
            files.append(f"{file.kind} {' -> '.join(dict.fromkeys(sides))}")
            for each in difference.tensors(file):
                said = [f"{t.file.decode()}:{t.name}" for t in (each.old, each.new) if t]
                tensors.append(f"{each.kind} {' -> '.join(dict.fromkeys(said))}")
        return Found(files, tensors, difference.summary)


async def put(store: Store, folder: Path, files: Mapping[str, Mapping[str, Tensor]]) -> str:
    """Add a folder of safetensors files as the repository acme/<folder's name>; its name."""
    os.makedirs(folder, exist_ok=True)
    for name, tensors in files.items():
        write(folder / name, tensors)
    await store.add([str(folder)], parse_address(f"acme/{folder.name}"))
    return f"acme/{folder.name}"


def model(layers: int = 6) -> dict[str, Tensor]:
    """Large tensors, which are chunks of their own, and small ones, which share chunks."""
    tensors = {f"layers.{i}.w": u8(f"w{i}", LARGE) for i in range(layers)}
    return {**tensors, **{f"layers.{i}.norm": u8(f"n{i}", SMALL) for i in range(layers)}}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of all reads of stored files."""
    sizes: list[int] = []
    real = FileReader.read

    async def read(self: FileReader, offset: int, size: int) -> memoryview | bytes:
        sizes.append(size)
        return await real(self, offset, size)

    monkeypatch.setattr(FileReader, "read", read)
    return sizes


async def test_a_third_of_the_tensors_changed(tmp_path: Path, reads: list[int]) -> None:
    before, after = model(), model()
    for name in ("layers.1.w", "layers.4.w", "layers.2.norm", "layers.3.norm"):
        after[name] = u8(f"other {name}", len(before[name][2]))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"model.safetensors": before})
        new = await put(store, tmp_path / "b", {"model.safetensors": after})
        found = await diff(store, old, new)
    assert found.files == ["changed model.safetensors"]
    assert found.tensors == [
        f"changed model.safetensors:layers.{name}" for name in ("1.w", "2.norm", "3.norm", "4.w")
    ]
    changed = 2 * LARGE + 2 * SMALL
    assert found.summary.tensors == {"changed": Count(4, changed)}
    assert found.summary.same == Count(8, 4 * LARGE + 4 * SMALL)
    assert found.summary.changed_bytes == changed
    # Large tensors are told apart by their chunks; only small ones are read.
    assert sum(reads) == 12 * SMALL


async def test_a_changed_revision_of_one_repository(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await put(store, tmp_path / "a", {"model.safetensors": model()})
        (tmp_path / "a" / "text").write_bytes(b"new")
        name = await put(store, tmp_path / "a", {"model.safetensors": model(5)})
        found = await diff(store, f"{name}@main~1", name)
        back = await diff(store, name, f"{name}@main~1")
        none = await diff(store, name, name)
    lost = ["model.safetensors:layers.5.norm", "model.safetensors:layers.5.w"]
    assert found.files == ["changed model.safetensors", "added text"]
    assert found.tensors == [f"removed {each}" for each in lost]
    assert back.tensors == [f"added {each}" for each in lost]
    assert (none.files, none.tensors) == ([], [])
    assert none.summary.known == none.summary.new_size
    assert none.summary.fresh == 0


async def test_renamed_tensors_keep_their_bytes(tmp_path: Path, reads: list[int]) -> None:
    before = model()
    after = {name.replace("layers", "blocks"): tensor for name, tensor in before.items()}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"model.safetensors": before})
        new = await put(store, tmp_path / "b", {"model.safetensors": after})
        found = await diff(store, old, new)
    assert found.tensors == sorted(
        f"renamed model.safetensors:{name} -> model.safetensors:{name.replace('layers', 'blocks')}"
        for name in before
    )
    assert found.summary.changed_bytes == 0
    assert max(reads) <= SMALL


@pytest.mark.parametrize("size", [LARGE, SMALL])
async def test_layers_that_are_numbered_anew_are_renamed(tmp_path: Path, size: int) -> None:
    """One that is put in front is added, although its name was there: it was another one's."""
    layers = [u8(f"w{i}", size) for i in range(5)]
    before = {f"layers.{i}": layer for i, layer in enumerate(layers)}
    after = {f"layers.{i}": layer for i, layer in enumerate([u8("new", size), *layers])}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"model.safetensors": before})
        new = await put(store, tmp_path / "b", {"model.safetensors": after})
        found = await diff(store, old, new)
        back = await diff(store, new, old)
    model = "model.safetensors:layers."
    assert found.tensors == [
        f"added {model}0",
        *(f"renamed {model}{i} -> {model}{i + 1}" for i in range(5)),
    ]
    assert found.summary.tensors == {"renamed": Count(5, 5 * size), "added": Count(1, size)}
    assert found.summary.changed_bytes == 0, "what was added is told apart"
    assert back.summary.tensors == {"renamed": Count(5, 5 * size), "removed": Count(1, size)}


async def test_tensors_that_change_their_places_are_renamed(tmp_path: Path) -> None:
    """And what has neither its bytes nor its name elsewhere changed, as ever."""
    x, y = u8("x", LARGE), u8("y", LARGE)
    before = {"x": x, "y": y, "z": u8("z", LARGE)}
    after = {"x": y, "y": x, "z": u8("other", LARGE)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"m.safetensors": before})
        new = await put(store, tmp_path / "b", {"m.safetensors": after})
        found = await diff(store, old, new)
    assert found.tensors == [
        "renamed m.safetensors:y -> m.safetensors:x",
        "renamed m.safetensors:x -> m.safetensors:y",
        "changed m.safetensors:z",
    ]
    assert found.summary.changed_bytes == LARGE


async def test_a_set_in_other_files_moved(tmp_path: Path) -> None:
    before = model()
    shuffled = list(before.items())
    random.Random(1).shuffle(shuffled)
    after = {"m-1.safetensors": dict(shuffled[:5]), "m-2.safetensors": dict(shuffled[5:])}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"model.safetensors": before})
        new = await put(store, tmp_path / "b", after)
        found = await diff(store, old, new)
        back = await diff(store, new, old)
    assert found.files == [
        *("added m-1.safetensors", "added m-2.safetensors"),
        "removed model.safetensors",
    ]
    assert sorted(found.tensors) == sorted(
        f"moved model.safetensors:{name} -> {file}:{name}"
        for file, tensors in after.items()
        for name in tensors
    )
    assert set(found.summary.tensors) == {"moved"}
    assert found.summary.changed_bytes == 0
    assert found.summary.known >= 6 * LARGE
    assert set(back.summary.tensors) == {"moved"}


async def test_a_changed_tensor_that_moved_is_changed(tmp_path: Path) -> None:
    before = model(2)
    after = {**before, "layers.0.w": u8("other", LARGE)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"x.safetensors": before})
        new = await put(store, tmp_path / "b", {"y.safetensors": after})
        found = await diff(store, old, new)
    assert found.tensors[1] == "changed x.safetensors:layers.0.w -> y.safetensors:layers.0.w"
    assert [line.split()[0] for line in found.tensors] == ["moved", "changed", "moved", "moved"]


async def test_other_types_and_shapes(tmp_path: Path) -> None:
    data = noise("w", 240_000)
    before = {
        "shape": ("U8", [240_000], data),
        "type": ("F32", [60_000], data[::-1]),
        "both": ("F32", [60_000], data[1:] + b"x"),
        "cut": ("U8", [1_200_000], data * 5),
    }
    after = {
        "shape": ("U8", [2, 120_000], data),
        "type": ("I32", [60_000], data[::-1]),
        "both": ("BF16", [60_000], data[:120_000]),
        # Steps of an element that does not divide 1 MiB: other chunks, the same bytes.
        "cut": ("F32", [300_000], data * 5),
    }
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"m.safetensors": before})
        new = await put(store, tmp_path / "b", {"m.safetensors": after})
        with await compare(store, parse_address(old), parse_address(new)) as difference:
            (file,) = difference.files()
            found = {t.new.name: (t.kind, t.same_bytes) for t in difference.tensors(file) if t.new}
    assert found == {
        "shape": ("reshaped", True),
        "type": ("retyped", True),
        "both": ("retyped", False),
        "cut": ("retyped", True),
    }


async def test_files_that_were_added_by_an_earlier_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no region table, and were perhaps cut as unknown bytes: they are looked into."""
    after = {**model(), "layers.2.w": u8("other", LARGE)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch:
            for module in (largefiles, smallfiles):
                patch.setattr(module, "open_cutter", lambda *_: CdcCutter())
            old = await put(store, tmp_path / "a", {"model.safetensors": model(), "s.bin": {}})
        new = await put(store, tmp_path / "b", {"model.safetensors": after, "s.bin": {}})
        found = await diff(store, old, new)
    assert found.files == ["changed model.safetensors"]
    assert found.tensors == ["changed model.safetensors:layers.2.w"]
    assert found.summary.same.count == 11


async def test_a_file_that_only_has_a_table_now_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        with monkeypatch.context() as patch:
            patch.setattr("modelfloat.cas.formats.manifest.encode_regions", lambda *_: [])
            old = await put(store, tmp_path / "a", {"model.safetensors": model(2)})
        new = await put(store, tmp_path / "b", {"model.safetensors": model(2)})
        files = [
            store.find(parse_address(f"{name}/model.safetensors")).object for name in (old, new)
        ]
        assert files[0] != files[1]
        assert (await diff(store, old, new)).files == []


async def test_two_files_whatever_they_are_called(tmp_path: Path) -> None:
    after = {**model(2), "layers.0.w": u8("other", LARGE)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"x.safetensors": model(2)})
        new = await put(store, tmp_path / "b", {"in/y.safetensors": after})
        found = await diff(store, f"{old}/x.safetensors", f"{new}/in/y.safetensors")
        folder = await diff(store, f"{old}/x.safetensors", f"{new}/in")
    assert found.files == ["changed y.safetensors"]
    assert found.tensors == ["changed y.safetensors:layers.0.w"]
    assert folder.files == ["removed x.safetensors", "added y.safetensors"]
    assert "changed x.safetensors:layers.0.w -> y.safetensors:layers.0.w" in folder.tensors


async def test_files_folders_links_and_modes(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    for folder in (one, two):
        (folder / "same").mkdir(parents=True)
        (folder / "same" / "file").write_bytes(b"same")
        os.utime(folder / "same", ns=(len(folder.name), 7))
    (one / "becomes").write_bytes(b"a folder")
    (two / "becomes").mkdir()
    (two / "becomes" / "inner").write_bytes(b"inner")
    (one / "folder" / "deep").mkdir(parents=True)
    (one / "folder" / "deep" / "x").write_bytes(b"x")
    (two / "folder").write_bytes(b"a file")
    (one / "link").symlink_to("same")
    (two / "link").symlink_to("becomes")
    (one / "file or link").write_bytes(b"file")
    (two / "file or link").symlink_to("same")
    (one / "old name").write_bytes(b"renamed content")
    (two / "new name").write_bytes(b"renamed content")
    (one / "empty one").write_bytes(b"")
    (two / "empty two").write_bytes(b"")
    for folder, mode in ((one, 0o644), (two, 0o755)):
        (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
        (folder / "run.sh").chmod(mode)
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for folder in (one, two):
            await store.add([str(folder)], parse_address(f"acme/{folder.name}"))
        found = await diff(store, "acme/a", "acme/b")
        below = await diff(store, "acme/a/same", "acme/b/same")
        through = await diff(store, "acme/a/link", "acme/b/same")
    assert found.files == [
        *("removed becomes", "added becomes/inner", "removed empty one", "added empty two"),
        *("changed file or link", "added folder", "removed folder/deep/x", "changed link"),
        *("renamed old name -> new name", "mode run.sh"),
    ]
    assert (below.files, through.files) == ([], [])


async def test_the_same_name_moves_before_another_one(tmp_path: Path) -> None:
    """Of equal bytes, such as zeros, those of one name belong together."""
    zeros: Tensor = ("U8", [100_000], bytes(100_000))
    before = {"x.safetensors": dict.fromkeys("abc", zeros)}
    after = {"y.safetensors": {"c": zeros}, "z.safetensors": {"b": zeros, "d": zeros}}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", before)
        new = await put(store, tmp_path / "b", after)
        found = await diff(store, old, new)
    assert found.tensors == [
        "moved x.safetensors:c -> y.safetensors:c",
        "moved x.safetensors:b -> z.safetensors:b",
        "renamed x.safetensors:a -> z.safetensors:d",
    ]


async def test_empty_repositories(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        empty = await put(store, tmp_path / "none", {})
        full = await put(store, tmp_path / "full", {"m.safetensors": model(1)})
        found = [await diff(store, *sides) for sides in ((empty, empty), (empty, full))]
        gone = await diff(store, full, empty)
    assert [each.files for each in found] == [[], ["added m.safetensors"]]
    assert found[1].summary.tensors == {"added": Count(2, LARGE + SMALL)}
    assert found[1].summary.known == 0
    assert gone.tensors == [
        "removed m.safetensors:layers.0.norm",
        "removed m.safetensors:layers.0.w",
    ]
    assert gone.summary.new_size == 0


async def test_what_is_in_the_old_side_already(tmp_path: Path) -> None:
    """A copy of a file that did not change counts as known, a chunk that comes twice as one new."""
    one, two = tmp_path / "a", tmp_path / "b"
    for folder in (one, two):
        folder.mkdir()
        (folder / "file").write_bytes(noise("file", 900_000))
    (two / "copy").write_bytes(noise("file", 900_000))
    for name in ("new", "new again"):
        (two / name).write_bytes(noise("new", 50_000))
    async with fresh_store(tmp_path / "store", "2+1") as store:
        for folder in (one, two):
            await store.add([str(folder)], parse_address(f"acme/{folder.name}"))
        summary = (await diff(store, "acme/a", "acme/b")).summary
    assert (summary.old_size, summary.new_size) == (900_000, 1_900_000)
    assert (summary.known, summary.fresh) == (1_800_000, 50_000)


async def test_names_that_are_not_there(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store", "2+1") as store:
        name = await put(store, tmp_path / "a", {})
        for other in ("acme/none", f"{name}@none", f"{name}/none"):
            for sides in ((name, other), (other, name)):
                with pytest.raises(NotFoundError):
                    await diff(store, *sides)


async def test_a_tensor_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    before = {f"{i}": u8(f"{i}", SMALL) for i in range(9)}
    after = {**before, "3": u8("x", SMALL)}
    async with fresh_store(tmp_path / "store", "1+0") as store:
        old = await put(store, tmp_path / "a", {"m.safetensors": before})
        new = await put(store, tmp_path / "b", {"m.safetensors": after})
        for shard in stores.shard_files(tmp_path / "store"):
            shard.unlink()
        with pytest.raises(DataLostError, match=r"^acme/a/m.safetensors: "):
            await diff(store, old, new)


async def test_what_is_removed_is_no_change(tmp_path: Path) -> None:
    """Added, removed and changed bytes are figures of their own; layer 2 comes before layer 10."""
    before = {f"layers.{i}": u8(f"w{i}", SMALL + i) for i in range(12)}
    after = {"layers.0": u8("other", SMALL), "fresh": u8("fresh", 70)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {"m.safetensors": before})
        new = await put(store, tmp_path / "b", {"m.safetensors": after})
        found = await diff(store, old, new)
    assert [told.rpartition(":")[2] for told in found.tensors] == [
        *("fresh", *(f"layers.{i}" for i in range(12)))
    ]
    assert found.summary.changed_bytes == SMALL
    assert found.summary.tensors["added"] == Count(1, 70)
    assert found.summary.tensors["removed"] == Count(11, 11 * SMALL + 66)


def test_numbers_in_names_sort_by_their_value() -> None:
    names = [b"a", b"a.1.b", b"a.2", b"a.010", b"a.10.b", b"a.100", b"b"]
    mixed = names[::-1]
    assert sorted(mixed, key=ledger.sort_key) == names


async def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schema = "PRAGMA max_page_count = 20;" + ledger._SCHEMA  # type: ignore[attr-defined]
    monkeypatch.setattr(ledger, "_SCHEMA", schema)
    tensors = {f"{i}{noise(str(i), 50).hex()}": u8("x", 1) for i in range(900)}
    async with fresh_store(tmp_path / "store", "2+1") as store:
        old = await put(store, tmp_path / "a", {})
        new = await put(store, tmp_path / "b", {"m.safetensors": tensors})
        with pytest.raises(ModelFloatError, match="the temporary file of a comparison: "):
            await diff(store, old, new)


async def test_files_too_short_for_a_new_chunk_are_not_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[ObjectId] = []
    manifests = Objects.manifests

    def note(objects: Objects, ids: Iterable[ObjectId]) -> Iterator[Manifest]:
        looked.extend(wanted := list(ids))
        return manifests(objects, wanted)

    monkeypatch.setattr(Objects, "manifests", note)
    async with fresh_store(tmp_path / "store") as store:
        folder = tmp_path / "files"
        folder.mkdir()
        for number in range(8):
            (folder / f"{number}.txt").write_bytes(noise("x", 100 * (number + 1)))
        await store.add([str(folder)], parse_address("acme/files"))
        (folder / "0.txt").write_bytes(noise("x", 600)[::-1])
        (folder / "new.txt").write_bytes(noise("x", 700))
        await store.add([str(folder)], parse_address("acme/files"))
        summary = (await diff(store, "acme/files@main~1", "acme/files")).summary
    assert len(looked) == 3  # those of 600, 700 and 800 bytes
    assert (summary.known, summary.fresh) == (summary.new_size - 600, 600)
