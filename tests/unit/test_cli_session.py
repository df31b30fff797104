"""A user's session: every command but mount on a small store, with its exit status and output."""

import json
import os
import random
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelfloat.cli.main import run
from modelfloat.tests.support.completion import complete

CONTENT = random.Random(0).randbytes(1_500_000)
MTIME_NS = 1_600_000_000_123_456_789


@dataclass(frozen=True)
class Shell:
    """Runs command lines on one store."""

    store: Path
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object, status: int = 0) -> str:
        """Standard output of a command that ends with `status`."""
        self.capsys.readouterr()
        found = run(["--store", str(self.store), *map(str, arguments)])
        captured = self.capsys.readouterr()
        assert found == status, captured.err
        if status in (1, 2):
            assert captured.err.count("\n") == 1
            return captured.err
        return captured.out

    def json(self, *arguments: object, status: int = 0) -> Any:
        """The one JSON document of a command."""
        return json.loads(self(*arguments, "--json", status=status))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `source` and the stores `empty` and `filled`, of six directories each.

    Both are made once and copied by each test: own directories lie inside of a store.
    """
    folder = tmp_path_factory.mktemp("template")
    _make_source(folder / "source")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELFLOAT_AUTHOR", "Ada <ada@example.org>")
        for name in ("empty", "filled"):
            assert run(["--store", str(folder / name), "--quiet", "init", "--erasure=4+2"]) == 0
        add = ["add", str(folder / "source"), "acme/tiny", "-m", "first", "--json"]
        assert run(["--store", str(folder / "filled"), *add]) == 0
    return folder


def _make_source(folder: Path) -> None:
    """A large file, a script, a nested folder, a link and an awkward name."""
    (folder / "inner" / "deep").mkdir(parents=True)
    (folder / "model.bin").write_bytes(CONTENT)
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "empty").write_bytes(b"")
    (folder / "inner" / "deep" / "notes.txt").write_bytes(b"notes")
    (folder / "link").symlink_to("inner/deep/notes.txt")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\x1b")).write_bytes(b"odd")
    for path in (folder / "model.bin", folder / "inner"):
        os.utime(path, ns=(MTIME_NS, MTIME_NS))


@pytest.fixture
def source(template: Path, tmp_path: Path) -> Path:
    """The folder that was added, for this test alone."""
    shutil.copytree(template / "source", tmp_path / "source", symlinks=True)
    return tmp_path / "source"


@pytest.fixture
def shell(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """An empty store, in the current folder."""
    return _enter(template / "empty", tmp_path, capsys, monkeypatch)


@pytest.fixture
def filled(
    template: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """A store with `source` in acme/tiny, in the current folder."""
    return _enter(template / "filled", tmp_path, capsys, monkeypatch)


def _enter(
    store: Path, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch
) -> Shell:
    shutil.copytree(store, folder / "store")
    patch.chdir(folder)
    patch.setenv("MODELFLOAT_AUTHOR", "Ada <ada@example.org>")
    return Shell(folder / "store", capsys)


def listing(folder: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Every path below a folder with its mode, modification time and content."""
    found = {}
    base = os.fsencode(folder)
    for directory, folders, files in os.walk(base):
        for name in folders + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content = b""
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            found[os.path.relpath(path, base)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def test_init_tells_cost_and_survival(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "store", capsys)
    text = shell("init", "--erasure", "4+2")
    assert "4+2 over 6 backends (d0, d1, d2, d3, d4, d5), parity +50 %" in text
    assert "NOT against the loss of this disk" in text
    assert "is a store already" in shell("init", status=1)


def test_init_with_backends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "store", capsys)
    places = [f"--backend=p{i}={tmp_path}/p{i},domain=host{i}" for i in range(3)]
    document = shell.json("init", *places)
    assert document["erasure"] == "2+1"
    assert document["overhead"] == 0.5
    assert document["survives"] == "survives the loss of any 1 of 3 domains"
    assert (tmp_path / "p2").is_dir()


def test_init_refuses_nonsense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "store", capsys)
    assert "k+m" in shell("init", "--erasure", "four", status=2)
    assert "NAME=URL" in shell("init", "--backend", "/disk", status=2)
    assert not (tmp_path / "store").exists()


def test_backend_add_and_ls(shell: Shell, tmp_path: Path) -> None:
    before = shell.json("backend", "ls")
    assert [b["name"] for b in before] == [f"d{i}" for i in range(6)]
    assert "big added" in shell("backend", "add", "big", "elsewhere", "--domain", "disk2")
    (new,) = [b for b in shell.json("backend", "ls") if b["name"] == "big"]
    assert (new["up"], new["domain"]) == (True, "disk2")
    assert (tmp_path / "elsewhere").is_dir()
    assert "choose another name" in shell("backend", "add", "big", "third", status=1)


def test_a_lost_backend_is_listed_as_down(shell: Shell) -> None:
    shutil.rmtree(shell.store / "backends" / "d1")
    text = shell("backend", "ls")
    assert "d1 is down: " in text
    assert [b["name"] for b in shell.json("backend", "ls") if not b["up"]] == ["d1"]


def test_add_reports_new_and_known_bytes(shell: Shell, source: Path) -> None:
    first = shell.json("add", source / "model.bin", "acme/tiny", "-m", "first")
    assert (first["logical"], first["new"], first["deduplicated"]) == (1_500_000, 1_500_000, 0)
    assert first["stored"] >= 1.5 * 1_500_000
    assert len(bytes.fromhex(first["commit"])) == 32
    text = shell("add", source / "model.bin", "acme/other")
    assert "nothing new: all 1,500,000 bytes were already stored" in text
    again = shell.json("add", source / "model.bin", "acme/tiny")
    assert (again["commit"], again["new"]) == (None, 0)


def test_add_refuses_what_is_not_there(shell: Shell) -> None:
    assert "nothing-here" in shell("add", "nothing-here", "acme/tiny", status=1)
    assert "VENDOR/NAME" in shell("add", "x", "tiny", status=2)


def test_ls_of_repositories(filled: Shell, source: Path) -> None:
    filled("add", source / "run.sh", "acme/second")
    lines = filled("ls").splitlines()
    assert lines[0].split() == ["name", "size", "files", "updated", "health"]
    assert [line.split()[0] for line in lines[1:]] == ["acme/second", "acme/tiny"]
    tiny = filled.json("ls")[1]
    # As log and show say: what a link points at is counted where it lies, and nowhere else.
    assert (tiny["files"], tiny["size"]) == (6, 1_500_000 + 10 + 5 + 3)
    assert tiny["refs"] == ["main"]


def test_ls_of_an_empty_store(shell: Shell) -> None:
    assert shell("ls") == ""
    assert shell.json("ls") == []


def test_ls_of_a_directory(filled: Shell) -> None:
    names = filled("ls", "acme/tiny").splitlines()
    assert names == ["empty", "inner/", "link", "model.bin", "run.sh", "\\xff\\x1b"]
    assert filled("ls", "acme/tiny/inner/deep") == "notes.txt\n"
    assert filled("ls", "acme/tiny@main/model.bin") == "model.bin\n"


def test_ls_long(filled: Shell) -> None:
    lines = filled("ls", "-l", "acme/tiny").splitlines()
    assert lines[4].split()[:3] == ["-rwxr-xr-x", "10", "B"]
    assert lines[2].startswith("lrwxrwxrwx")
    assert lines[2].endswith("link -> inner/deep/notes.txt")
    assert lines[1].startswith("drwx")


def test_ls_json_is_lossless(filled: Shell) -> None:
    entries = {entry["name"]: entry for entry in filled.json("ls", "acme/tiny")}
    assert os.fsdecode(b"\xff\x1b") in entries
    assert entries["model.bin"]["mtime_ns"] == MTIME_NS
    assert entries["link"]["target"] == "inner/deep/notes.txt"
    assert entries["run.sh"]["mode"] == "0755"


@pytest.mark.parametrize(
    ("address", "status", "message"),
    [
        ("acme/nothing", 1, "there is no repository acme/nothing"),
        ("acme/tiny@nothing", 1, "no branch, tag or commit 'nothing'"),
        ("acme/tiny/nothing", 1, "acme/tiny/nothing"),
        ("nobody", 1, "no vendor nobody"),
        ("acme/..", 2, "VENDOR/NAME"),
        ("acme/tiny/../..", 2, ".."),
    ],
)
def test_ls_of_what_is_not_there(filled: Shell, address: str, status: int, message: str) -> None:
    assert message in filled("ls", address, status=status)


def program(shell: Shell, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "modelfloat.cli.main", "--store", str(shell.store)]
    return subprocess.run([*command, *arguments], capture_output=True, check=False, **options)


def test_cat_writes_the_bytes(filled: Shell) -> None:
    result = program(filled, "cat", "acme/tiny/model.bin")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == CONTENT


def test_cat_into_a_pipe_that_closes(filled: Shell) -> None:
    command = f"{sys.executable} -m modelfloat.cli.main --store {filled.store} cat"
    script = f"{command} acme/tiny/model.bin | head -c 10; echo ${{PIPESTATUS[0]}} >&2"
    result = subprocess.run(["bash", "-c", script], capture_output=True, check=False)
    assert result.stdout == CONTENT[:10]
    assert result.stderr in (b"141\n", b"0\n")


@pytest.mark.parametrize(("address", "status"), [("acme/tiny", 2), ("acme/tiny/inner", 1)])
def test_cat_takes_files_only(filled: Shell, address: str, status: int) -> None:
    assert filled("cat", address, status=status)


def test_get_of_a_repository_restores_everything(filled: Shell, source: Path) -> None:
    text = filled("get", "acme/tiny", "out/new")
    assert text.startswith("out/new: 5 files and 1 link, 1.50 MB")
    assert listing(Path("out/new")) == listing(source)


def test_get_of_a_directory(filled: Shell, source: Path) -> None:
    filled("get", "acme/tiny/inner", "out")
    assert listing(Path("out")) == listing(source / "inner")


def test_get_of_a_file_under_a_new_name_or_into_a_folder(filled: Shell, tmp_path: Path) -> None:
    filled("get", "acme/tiny/model.bin", "copy.bin")
    (tmp_path / "folder").mkdir()
    document = filled.json("get", "acme/tiny/model.bin", "folder")
    assert (document["files"], document["bytes"], document["unchanged"]) == (1, 1_500_000, 0)
    for name in ("copy.bin", "folder/model.bin"):
        assert Path(name).read_bytes() == CONTENT
        assert os.stat(name).st_mtime_ns == MTIME_NS


def test_get_again_writes_nothing(filled: Shell) -> None:
    filled("get", "acme/tiny", "out")
    before = os.stat("out/model.bin").st_ino
    document = filled.json("get", "acme/tiny", "out")
    assert (document["files"], document["bytes"], document["unchanged"]) == (0, 0, 6)
    assert os.stat("out/model.bin").st_ino == before


def test_get_of_an_unchanged_file_restores_mode_and_time(filled: Shell, source: Path) -> None:
    filled("get", "acme/tiny", "out")
    os.chmod("out/run.sh", 0o600)
    os.utime("out/model.bin", ns=(0, 0))
    filled("get", "acme/tiny", "out")
    assert listing(Path("out")) == listing(source)


@pytest.mark.parametrize("name", ["model.bin", "link"])
def test_get_replaces_what_differs_only_when_forced(filled: Shell, source: Path, name: str) -> None:
    os.mkdir("out")
    Path("out", name).write_bytes(CONTENT[::-1])
    assert "--force" in filled("get", "acme/tiny", "out", status=1)
    assert Path("out", name).read_bytes() == CONTENT[::-1]
    filled("get", "acme/tiny", "out", "--force")
    assert listing(Path("out")) == listing(source)


def test_get_never_replaces_a_directory(filled: Shell) -> None:
    os.makedirs("out/model.bin")
    assert "is a directory" in filled("get", "acme/tiny", "out", "--force", status=1)


def test_get_follows_no_link_out_of_the_destination(filled: Shell, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.mkdir("out")
    os.symlink(outside, "out/inner")
    assert "out/inner" in filled("get", "acme/tiny", "out", "--force", status=1)
    assert list(outside.iterdir()) == []


def test_get_replaces_a_link_instead_of_writing_through_it(filled: Shell, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    os.mkdir("out")
    os.symlink(outside, "out/model.bin")
    assert "--force" in filled("get", "acme/tiny", "out", status=1)
    filled("get", "acme/tiny", "out", "--force")
    assert outside.read_bytes() == b"mine"
    assert Path("out/model.bin").read_bytes() == CONTENT
    assert not Path("out/model.bin").is_symlink()


def test_get_leaves_no_temporary_file_when_it_fails(filled: Shell) -> None:
    for name in ("d0", "d1", "d2"):
        shutil.rmtree(filled.store / "backends" / name)
    filled("get", "acme/tiny/model.bin", "copy.bin", status=4)
    assert [name for name in os.listdir() if "modelfloat" in name or "copy" in name] == []


def test_get_all_writes_every_ref(filled: Shell, source: Path) -> None:
    filled("add", source / "run.sh", "acme/second@dev", "--tag", "v1")
    text = filled("get", "--all", "out", "--verify")
    assert text.startswith("out: 7 files and 1 link, 1.50 MB; 7 read back and compared")
    assert sorted(os.listdir("out/acme")) == ["second@dev", "second@v1", "tiny"]
    assert listing(Path("out/acme/tiny")) == listing(source)
    assert filled.json("get", "--all", "out")["unchanged"] == 8
    assert "takes DEST alone" in filled("get", "--all", "acme/tiny", "out", status=2)


def test_get_names_what_is_lost_and_writes_the_rest(filled: Shell) -> None:
    for name in ("d0", "d1", "d2"):
        for shard in (filled.store / "backends" / name).glob("packs/*/*/*-4-2"):
            shard.unlink()
    document = filled.json("get", "acme/tiny", "out", status=4)
    lost = {failure["path"] for failure in document["failures"]}
    assert "out/model.bin" in lost
    assert (document["files"], document["links"]) == (5 - len(lost), 1)
    assert os.path.lexists("out/link")
    assert not any(os.path.lexists(path) for path in lost)
    assert document["files"] >= 1
    assert filled("get", "acme/tiny", "out", status=4).startswith("out: 0 files")


def test_log(filled: Shell, source: Path) -> None:
    (source / "run.sh").write_bytes(b"#!/bin/sh\nexit 1\n")
    filled("add", source, "acme/tiny", "-m", "second\n\nwith a body", "--tag", "v2")
    new, old = filled("log", "acme/tiny").splitlines()
    assert new.endswith("Ada <ada@example.org> (main, v2): second")
    assert "  ~1 " in new
    assert old.endswith("Ada <ada@example.org>: first")
    assert "  +6 " in old
    assert "1.50 MB" in old
    assert filled("log", "acme/tiny@main~1").splitlines() == [old]


def test_log_json(filled: Shell, source: Path) -> None:
    (source / "empty").unlink()
    filled("add", source / "run.sh", "acme/tiny/inner/deep", "-m", "second")
    new, old = filled.json("log", "acme/tiny")
    assert new["parents"] == [old["commit"]]
    assert (new["added"], new["changed"], new["removed"]) == (1, 0, 0)
    assert (old["added"], old["refs"], new["refs"]) == (6, [], ["main"])
    assert new["message"] == "second"
    assert filled("log", new["commit"][:3], status=2)
    assert "without a path" in filled("log", "acme/tiny/inner", status=2)


def test_verify_finds_and_repairs(filled: Shell) -> None:
    assert filled("verify").endswith("no damage found\n")
    for name in ("d1", "d4"):
        shutil.rmtree(filled.store / "backends" / name)
    text = filled("verify", status=3)
    assert "d1: down" in text
    assert "verify --repair" in text
    assert "damage found and repaired" in filled("verify", "--repair", status=3)
    assert filled("verify").endswith("no damage found\n")
    assert filled.json("verify")["exit_status"] == 0


def test_verify_says_what_is_lost(filled: Shell) -> None:
    for name in ("d0", "d1", "d2"):
        shutil.rmtree(filled.store / "backends" / name)
    text = filled("verify", status=4)
    assert "lost: acme/tiny@main/model.bin" in text
    assert "DATA IS LOST" in text


def test_reading_with_two_backends_gone(filled: Shell, source: Path) -> None:
    for name in ("d2", "d3"):
        shutil.rmtree(filled.store / "backends" / name)
    filled("get", "acme/tiny", "out")
    assert listing(Path("out")) == listing(source)


def test_stats(filled: Shell) -> None:
    text = filled("stats")
    assert "1 repository, 5 files" in text
    assert "NOT against the loss of this disk" in text
    document = filled.json("stats")
    assert document["logical"] == 1_500_018
    assert document["net_ratio"] >= 1.5
    assert [backend["up"] for backend in document["backends"]] == [True] * 6


@pytest.mark.parametrize("arguments", [["stats"], ["ls"], ["verify"], ["backend", "ls"]])
def test_no_store(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(tmp_path / "nothing", capsys)
    assert "modelfloat init" in shell(*arguments, status=1)


@pytest.mark.parametrize("arguments", [["init"], ["add", "{source}", "acme/new", "-m", "x"]])
def test_quiet(shell: Shell, source: Path, arguments: list[str], tmp_path: Path) -> None:
    other = Shell(tmp_path / "other" if arguments == ["init"] else shell.store, shell.capsys)
    words = [word.format(source=source) for word in arguments]
    assert len(other(*words, "--quiet").splitlines()) <= 3


def test_completion_of_repositories_and_paths(filled: Shell) -> None:
    def offer(line: str) -> list[str]:
        return complete(line, MODELFLOAT_STORE=str(filled.store))

    assert offer("modelfloat ls a") == ["acme/tiny"]
    assert offer("modelfloat cat acme/tiny/i") == ["acme/tiny/inner/"]
    assert offer("modelfloat cat acme/tiny/inner/") == ["acme/tiny/inner/deep/"]
    assert offer("modelfloat log x") == []
