"""`sync`: the tree becomes as the sources are, and says what that took away."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfloat.cas.add.report import AddReport
from modelfloat.cas.add.request import AddRequest
from modelfloat.cas.formats.tree import EntryType
from modelfloat.cas.refnames import parse_address
from modelfloat.cas.store import Store
from modelfloat.errors import ExistsError, UsageError
from modelfloat.ids import ObjectId
from modelfloat.tests.support.stores import add, fresh_store, read

Shape = dict[str, "Shape | bytes"]
"""A folder: names of folders with what is in them, and of files with their bytes."""


def make(folder: Path, shape: Shape) -> Path:
    """Make `folder` have exactly that in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, inner in shape.items():
        if isinstance(inner, bytes):
            (folder / name).write_bytes(inner)
        else:
            make(folder / name, inner)
    return folder


async def sync(store: Store, source: Path, address: str = "acme/m", **more: object) -> AddReport:
    """Add one folder with `sync`."""
    request = AddRequest([str(source)], parse_address(address), sync=True, **more)  # type: ignore[arg-type]
    return await store.carry_out(request)


async def shape(store: Store, address: str = "acme/m") -> Shape:
    """What a repository, or a folder in it, has."""
    where = parse_address(address)
    root = store.objects.commit(store.refs.resolve(where.repo, where.rev)).tree
    found = store.objects.find(root, where.path)
    return await _shape(store, found.object if found else root, address)


async def _shape(store: Store, tree: ObjectId, address: str) -> Shape:
    made: Shape = {}
    for entry in store.objects.directory(tree).entries():
        name = os.fsdecode(entry.name)
        if entry.type is EntryType.DIRECTORY:
            made[name] = await _shape(store, entry.object, f"{address}/{name}")
        else:
            made[name] = await read(store, f"{address}/{name}")
    return made


async def test_what_the_source_lacks_is_removed_and_listed(tmp_path: Path) -> None:
    first: Shape = {
        "a": b"1", "b": b"2",
        "gone": {"x": b"3", "deep": {"y": b"4"}},
        "half": {"stays": b"5", "goes": b"6"},
    }  # fmt: skip
    second: Shape = {"a": b"1", "half": {"stays": b"5", "comes": b"7"}}
    async with fresh_store(tmp_path / "store") as store:
        await sync(store, make(tmp_path / "src", first))
        report = await sync(store, make(tmp_path / "src", second))
        assert sorted(report.removed) == ["b", "gone/", "half/goes"]
        assert report.removed_files == 4
        assert await shape(store) == second
        message = store.objects.commit(store.refs.resolve(report.repo)).message
        assert message == "add 3 files, remove 4 files"
        again = await sync(store, tmp_path / "src")
        assert (again.removed, again.commit) == ([], None)


async def test_without_sync_nothing_goes(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        await add(store, make(tmp_path / "src", {"a": b"1"}), "acme/m")
        report = await add(store, make(tmp_path / "src", {"b": b"2"}), "acme/m")
        assert report.removed == []
        assert await shape(store) == {"a": b"1", "b": b"2"}


async def test_only_the_path_is_made_equal(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        await add(store, make(tmp_path / "src", {"a": b"1", "d": {"x": b"2", "y": b"3"}}), "acme/m")
        report = await sync(store, make(tmp_path / "src", {"y": b"new"}), "acme/m/d")
        assert report.removed == ["d/x"]
        assert await shape(store) == {"a": b"1", "d": {"y": b"new"}}


async def test_files_and_folders_may_change_places(tmp_path: Path) -> None:
    first: Shape = {"f": b"file", "d": {"x": b"1", "e": {"y": b"2"}}}
    second: Shape = {"f": {"z": b"3"}, "d": b"file now"}
    async with fresh_store(tmp_path / "store") as store:
        await sync(store, make(tmp_path / "src", first))
        with pytest.raises(ExistsError, match="would become"):
            await add(store, make(tmp_path / "src", second), "acme/m")
        report = await sync(store, tmp_path / "src")
        assert sorted(report.removed) == ["d/", "f"]
        assert await shape(store) == second


async def test_a_file_at_the_path_gives_way_to_a_folder_but_none_above_it(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        await add(store, make(tmp_path / "src", {"f": b"1"}), "acme/m")
        with pytest.raises(ExistsError, match="would become"):
            await sync(store, tmp_path / "src", "acme/m/f/deeper")
        report = await sync(store, tmp_path / "src", "acme/m/f")
        assert report.removed == ["f"]
        assert await shape(store) == {"f": {"f": b"1"}}


async def test_what_is_left_out_or_skipped_stays(tmp_path: Path) -> None:
    first: Shape = {
        "a": b"1", "log": {"x.log": b"2", "y": b"3"}, "old": {"z": b"4"},
        "pipe": b"5", "cut.log": b"6",
    }  # fmt: skip
    async with fresh_store(tmp_path / "store") as store:
        await sync(store, make(tmp_path / "src", first))
        make(tmp_path / "src", {"a": b"1", "cut.log": b"new"})
        os.mkfifo(tmp_path / "src" / "pipe")
        report = await sync(store, tmp_path / "src", exclude=["*.log"])
        assert sorted(report.removed) == ["log/y", "old/"]
        assert await shape(store) == {
            "a": b"1", "log": {"x.log": b"2"}, "pipe": b"5", "cut.log": b"6",
        }  # fmt: skip
        (tmp_path / "src" / "log").write_bytes(b"a file")
        with pytest.raises(ExistsError, match="left out"):
            await sync(store, tmp_path / "src", exclude=["*.log"])


async def test_several_folders_make_one_tree(tmp_path: Path) -> None:
    one, two = make(tmp_path / "1", {"a": b"1"}), make(tmp_path / "2", {"b": b"2"})
    async with fresh_store(tmp_path / "store") as store:
        await sync(store, make(tmp_path / "old", {"c": b"3"}))
        where = parse_address("acme/m")
        report = await store.carry_out(AddRequest([str(one), str(two)], where, sync=True))
        assert report.removed == ["c"]
        assert await shape(store) == {"a": b"1", "b": b"2"}


async def test_an_empty_folder_empties_the_tree(tmp_path: Path) -> None:
    async with fresh_store(tmp_path / "store") as store:
        await sync(store, make(tmp_path / "src", {"a": b"1", "d": {"x": b"2"}}))
        report = await sync(store, make(tmp_path / "src", {}))
        assert sorted(report.removed) == ["a", "d/"]
        assert await shape(store) == {}


async def test_a_single_file_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    async with fresh_store(tmp_path / "store") as store:
        with pytest.raises(UsageError, match="leave --sync out"):
            await sync(store, tmp_path / "f")


NAMES = st.sampled_from(["a", "b", "c.log", "d"])
SHAPES = st.recursive(
    st.dictionaries(NAMES, st.binary(max_size=3), max_size=4),
    lambda inner: st.dictionaries(NAMES, st.one_of(st.binary(max_size=3), inner), max_size=4),
    max_leaves=12,
)


@given(first=SHAPES, second=SHAPES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_tree_becomes_any_other(tmp_path: Path, first: Shape, second: Shape) -> None:
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    async with fresh_store(tmp_path / "store", "1+1") as store:
        await sync(store, make(tmp_path / "src", first))
        report = await sync(store, make(tmp_path / "src", second))
        assert await shape(store) == second
        assert report.removed_files == _gone(first, second)


def _gone(first: Shape, second: Shape) -> int:
    """Files of `first` in the place of which `second` has no file."""
    count = 0
    for name, old in first.items():
        new = second.get(name)
        if isinstance(old, bytes):
            count += not isinstance(new, bytes)
        else:
            count += _gone(old, new if isinstance(new, dict) else {})
    return count
