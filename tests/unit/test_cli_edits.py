"""`rm` of paths, `mv` and `restore` as they are typed: what they print, and the API beside them."""

import json
import shutil
from pathlib import Path

import pytest

import modelfloat
from modelfloat.cas.edit.renaming import RenameReport
from modelfloat.cli.main import run
from modelfloat.tests.support.shell import Shell, shell_on_copy


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two files and an empty folder in acme/model."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "source" / "sub" / "empty").mkdir(parents=True)
    (folder / "source" / "a file").write_bytes(b"a" * 1000)
    (folder / "source" / "sub" / "b").write_bytes(b"bb")
    store = ["--store", str(folder / "store"), "--quiet"]
    assert run([*store, "init", "--erasure=2+1"]) == 0
    assert run([*store, "add", str(folder / "source"), "acme/model"]) == 0
    return folder / "store"


@pytest.fixture
def shell(template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs a command on a store of its own: its output and its errors."""
    return shell_on_copy(template, tmp_path, capsys)


def test_rm_says_how_to_have_it_back(shell: Shell, tmp_path: Path) -> None:
    (removed, hint), _ = (part.splitlines() for part in shell("rm", "acme/model/a file"))
    assert removed.startswith("acme/model@main: removed a file (1 file, 1.00 kB), commit ")
    assert hint.startswith("its history has it: `modelfloat restore 'acme/model@")
    command = hint.partition("`modelfloat ")[2].partition("`")[0]
    assert command.endswith("/a file' main")
    address = command.partition("'")[2].partition("'")[0]
    told, _ = shell("restore", address, "main")
    assert told.startswith("acme/model@main: restored a file (1 file, 1.00 kB), commit ")
    assert shell("ls", "acme/model")[0].splitlines() == ["a file", "sub/"]
    again, _ = shell("restore", address)
    assert again == "acme/model@main: a file is so already; no commit\n"
    assert shell("--quiet", "restore", address) == ("", "")


def test_edits_have_authors_and_messages(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELFLOAT_AUTHOR", "Eva")
    shell("mv", "acme/model/sub/b", "acme/model/c", "--author", "Ada", "-m", "better so")
    shell("rm", "acme/model/c")
    shell("restore", "acme/model@main~2/sub", "--author", "Ida")
    commits = json.loads(shell("log", "--json", "acme/model")[0])
    assert [(c["author"], c["message"]) for c in commits[:3]] == [
        ("Ida", f"restore sub as of {commits[3]['commit'][:12]}"),
        ("Eva", "remove c"),
        ("Ada", "better so"),
    ]


def test_documents(shell: Shell) -> None:
    moved = json.loads(shell("mv", "--json", "acme/model/sub", "acme/model/new/")[0])
    head = json.loads(shell("log", "--json", "acme/model")[0])[0]
    assert moved == {
        "from": "acme/model/sub",
        "repository": "acme/model",
        "branch": "main",
        "path": "new/sub",
        "commit": head["commit"],
        "before": head["parents"][0],
        "files": 1,
        "size": 2,
    }
    removed = json.loads(shell("rm", "--json", "acme/model/new")[0])
    assert (removed["path"], removed["files"], removed["before"]) == ("new", 1, head["commit"])
    restored = json.loads(shell("restore", "--json", "acme/model@main~2")[0])
    assert (restored["path"], restored["files"], restored["size"]) == ("", 2, 1002)
    renamed = json.loads(shell("mv", "--json", "acme/model", "acme/other")[0])
    assert renamed == {
        "from": "acme/model",
        "to": "acme/other",
        "renamed": [{"kind": "branch", "name": "main", "commit": restored["commit"]}],
    }


def test_quiet_prints_the_commit(shell: Shell) -> None:
    told, _ = shell("--quiet", "mv", "acme/model/sub/b", "acme/model/b")
    assert told.strip() == json.loads(shell("log", "--json", "acme/model")[0])[0]["commit"]


def test_a_branch_gets_another_name(shell: Shell) -> None:
    told, _ = shell("mv", "acme/model@main", "acme/model@trunk")
    assert told == "acme/model@main is acme/model@trunk now\n"
    shell("rm", "acme/model/sub", status=1)
    shell("rm", "acme/model@trunk/sub")


def test_python_does_the_same(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "store")
    with modelfloat.open(tmp_path / "store") as store:
        removed = store.rm("acme/model/sub", author="Ada")
        assert (removed.path, removed.files, removed.branch) == ("sub", 1, "main")
        assert store.restore("acme/model@main~1/sub").commit is not None
        moved = store.mv("acme/model/a file", "acme/model/sub")
        assert not isinstance(moved, RenameReport)
        assert moved.path == "sub/a file"
        assert [entry.name for entry in store.ls("acme/model/sub")] == ["a file", "b", "empty"]
        store.mv("acme/model", "acme/other")
        assert [entry.name for entry in store.ls()] == ["acme/other"]
