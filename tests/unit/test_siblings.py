"""The files beside one that is being added: what a parser may see of them, and what it may not."""

import os
from pathlib import Path

import pytest

from modelfloat.cas.add import siblings as subject
from modelfloat.cas.add.scan import Item
from modelfloat.cas.add.siblings import FOLDERS, Folders, FolderSiblings
from modelfloat.cas.chunking.parser import Source
from modelfloat.cas.formats.tree import EntryType


def _beside(file: Path, folders: Folders | None = None) -> FolderSiblings:
    source = os.fsencode(file)
    item = Item.found((b"x",), source, EntryType.FILE, file.stat())
    return (folders or Folders()).beside(item)


def _all(source: Source) -> bytes:
    return source.read(0, source.size)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """`model.bin` in a folder with a model, and one outside of it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.onnx", "B.ONNX", "model.bin"):
        (folder / name).write_bytes(name.encode())
    (tmp_path / "outside.onnx").write_bytes(b"outside")
    return folder / "model.bin"


def test_names_come_sorted_in_small_or_capital_letters(file: Path) -> None:
    assert _beside(file).names(".onnx") == ["B.ONNX", "a.onnx"]
    assert _beside(file).names(".gguf") == []
    assert _beside(file).name == "model.bin"


def test_a_file_beside_is_read(file: Path) -> None:
    assert _beside(file).look("a.onnx", _all) == b"a.onnx"


def test_a_file_in_the_working_directory_has_siblings_too(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    assert _beside(Path("model.bin")).look("a.onnx", _all) == b"a.onnx"
    assert _beside(Path("model.bin")).names(".onnx") == ["B.ONNX", "a.onnx"]


def test_a_file_in_the_root_has_its_siblings_there(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.touch()
    item = Item.found((b"x",), b"/x", EntryType.FILE, file.stat())
    assert Folders().beside(item)._folder.path == b"/"


@pytest.mark.parametrize(
    "name",
    ["../outside.onnx", "/etc/passwd", "..", ".", "", "gone.onnx", "a.onnx/", "a\0b", "./a.onnx"],
)
def test_nothing_outside_the_folder_is_opened(file: Path, name: str) -> None:
    assert _beside(file).look(name, _all) is None


def test_a_link_is_not_followed(file: Path) -> None:
    (file.parent / "link.onnx").symlink_to("../outside.onnx")
    assert _beside(file).look("link.onnx", _all) is None


def test_a_file_that_came_through_a_link_has_linked_siblings(file: Path) -> None:
    """As in a Hugging Face cache, where all files of a model are links to blobs."""
    (file.parent / "link.onnx").symlink_to("../outside.onnx")
    linked = file.parent / "linked.bin"
    linked.symlink_to("../outside.onnx")
    assert _beside(linked).look("link.onnx", _all) == b"outside"


def test_a_pipe_or_folder_beside_is_no_file(file: Path) -> None:
    os.mkfifo(file.parent / "pipe.onnx")
    (file.parent / "folder.onnx").mkdir()
    assert _beside(file).look("pipe.onnx", _all) is None
    assert _beside(file).look("folder.onnx", _all) is None


def test_one_that_shrinks_meanwhile_says_nothing(file: Path) -> None:
    def work(source: Source) -> bytes:
        os.truncate(file.parent / "a.onnx", 2)
        return _all(source)

    assert _beside(file).look("a.onnx", work) is None


def test_a_folder_that_is_gone_has_no_names(file: Path) -> None:
    beside = _beside(file)
    file.parent.rename(file.parent.with_name("moved"))
    assert beside.names(".onnx") == []
    assert beside.look("a.onnx", _all) is None


def test_what_is_made_once_is_kept_for_the_folder(file: Path) -> None:
    folders, made = Folders(), []
    for name in ("model.bin", "a.onnx", "B.ONNX"):
        beside = _beside(file.parent / name, folders)
        assert beside.once("key", lambda: made.append(1) or len(made)) == 1
        assert beside.once("other", lambda: 7) == 7
    assert made == [1]


def test_only_the_last_folders_are_kept(tmp_path: Path) -> None:
    folders, made = Folders(), []
    for number in [0, *range(FOLDERS), 0, FOLDERS, 0, 1]:
        file = tmp_path / f"{number}" / "x"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        _beside(file, folders).once("key", lambda number=number: made.append(number))
    assert made == [*range(FOLDERS), FOLDERS, 1]


def test_names_are_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        (file.parent / f"{number}.onnx").touch()
    monkeypatch.setattr(subject, "MOST_NAMES", 3)
    assert _beside(file).names(".onnx") == ["0.onnx", "1.onnx", "2.onnx"]
    monkeypatch.setattr(subject, "LOOKED_AT", 0)
    assert _beside(file).names(".onnx") == []
