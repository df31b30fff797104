"""Merging what is added into a branch's tree."""

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelfloat.cas.add.scan import Item
from modelfloat.cas.add.staged import Staged
from modelfloat.cas.add.treepages import Merged
from modelfloat.cas.add.trees import check_conflicts, merge
from modelfloat.cas.formats.objects import object_id
from modelfloat.cas.formats.tree import Entry, EntryType
from modelfloat.cas.index.index import Index
from modelfloat.cas.objects import Objects
from modelfloat.errors import ExistsError, UsageError
from modelfloat.ids import ObjectId
from modelfloat.tests.support import samples


class Trees:
    """Merges into a real index, so that the next merge finds what the last one made."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.objects = Objects(index)

    def merge(self, base: ObjectId | None, staged: Staged) -> Merged:
        made: list[bytes] = []
        merged = merge(self.objects, base, staged, 42, made.append)
        self.index.put_objects({object_id(data): data for data in made})
        return merged


@pytest.fixture
def trees(tmp_path: Path) -> Iterator[Trees]:
    index = Index.create(str(tmp_path / "index"), samples.STORE)
    yield Trees(index)
    index.close()


def file(name: str, size: int = 10, label: str = "") -> Entry:
    target = samples.id_of(label or name)
    return Entry(name.encode(), EntryType.FILE, 0o644, samples.TIME, size, target)


def staged(*paths: tuple[str, Entry]) -> Staged:
    root = Staged()
    for folder, entry in paths:
        stage(root, folder, entry)
    return root


def stage(root: Staged, folder: str, entry: Entry) -> None:
    """Stage a file as it is found, then store it."""
    path = tuple(part.encode() for part in folder.split("/") if part)
    mode = stat.S_IFREG | entry.mode
    source = b"/source/" + entry.name
    item = Item((*path, entry.name), source, entry.type, mode, entry.size, entry.mtime_ns, 0, 1, 2)
    root.put(item)
    leaves = root.directory(path).leaves
    leaves.store(len(leaves) - 1, item, entry.object, entry.size)


def test_files_and_folders_are_laid_over(trees: Trees) -> None:
    first = trees.merge(None, staged(("", file("a")), ("sub/deep", file("b"))))
    second = trees.merge(first.tree, staged(("sub", file("c", 5)), ("", file("a", 7, "new a"))))
    names = [e.name for e in trees.objects.directory(second.tree).entries()]
    assert names == [b"a", b"sub"]
    assert trees.objects.find(second.tree, (b"sub", b"deep", b"b")) == file("b")
    assert trees.objects.find(second.tree, (b"sub", b"c")) == file("c", 5)
    assert trees.objects.find(second.tree, (b"a",)) == file("a", 7, "new a")
    assert (first.grown, second.grown) == (10 + 10, 5 + 7 - 10)
    assert trees.objects.find(second.tree, (b"a", b"b")) is None


def test_another_mtime_alone_is_no_change(trees: Trees) -> None:
    first = trees.merge(None, staged(("sub", file("a"))))
    touched = replace(file("a"), mtime_ns=samples.TIME + 1)
    assert trees.merge(first.tree, staged(("sub", touched))).tree == first.tree
    other_mode = replace(file("a"), mode=0o755)
    assert trees.merge(first.tree, staged(("sub", other_mode))).tree != first.tree


def test_files_and_folders_do_not_replace_each_other(trees: Trees) -> None:
    first = trees.merge(None, staged(("", file("x")), ("sub", file("y"))))
    with pytest.raises(ExistsError, match="x is a file there and would become a folder"):
        check_conflicts(trees.objects, first.tree, staged(("x", file("y"))))
    with pytest.raises(ExistsError, match="sub is a folder there and would become a file"):
        check_conflicts(trees.objects, first.tree, staged(("", file("sub"))))
    check_conflicts(trees.objects, first.tree, staged(("sub", file("y")), ("new", file("z"))))


def test_an_empty_folder_stays(trees: Trees) -> None:
    root = Staged()
    folder = root.directory([b"empty"])
    folder.mode, folder.mtime_ns = 0o700, 7
    entry = trees.objects.find(trees.merge(None, root).tree, (b"empty",))
    assert entry is not None
    assert (entry.type, entry.mode, entry.mtime_ns, entry.size) == (
        EntryType.DIRECTORY, 0o700, 7, 0
    )  # fmt: skip


def test_one_place_is_taken_once() -> None:
    staged(("", file("a")), ("b", file("a"))).check()
    with pytest.raises(UsageError, match="a is added twice"):
        staged(("", file("a")), ("", file("b")), ("", file("a"))).check()
    with pytest.raises(UsageError, match="a is added both as a file and as a directory"):
        staged(("", file("b")), ("", file("a")), ("a", file("b"))).check()


def test_ten_thousand_entries_are_found(trees: Trees) -> None:
    root = Staged()
    for number in range(10_000):
        stage(root, "", file(f"f{number:05}"))
    merged = trees.merge(None, root)
    directory = trees.objects.directory(merged.tree)
    assert len(directory) == 10_000
    assert directory.lookup(b"f07777") == file("f07777")
    assert directory.lookup(b"nothing") is None
    assert next(iter(directory.entries(9_999))).name == b"f09999"


def test_a_merge_is_the_same_by_trees_and_by_entries(
    trees: Trees, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Staged()
    for number in range(3000):
        stage(root, "sub" if number % 3 else "", file(f"f{number:05}"))
    base = trees.merge(None, root).tree
    over = staged(
        ("", file("f00000", 7, "new")), ("sub", file("f99999")), ("other/deep", file("x"))
    )
    found = []
    for few in (0, 1 << 60):
        monkeypatch.setattr("modelfloat.cas.add.trees.FEW", few)
        found.append(trees.merge(base, over))
    assert found[0] == found[1]
    assert found[0].grown == 7 - 10 + 10 + 10
    assert trees.objects.find(found[0].tree, (b"sub", b"f99999")) == file("f99999")
