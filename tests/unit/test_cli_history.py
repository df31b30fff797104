"""log, show, tag, branch and undo on the command line."""

import json
import os
from pathlib import Path

import pytest

import modelfloat
from modelfloat.cas.formats.journal import NO_ID, RefChanged, RefKind
from modelfloat.cli.main import run
from modelfloat.errors import NotFoundError
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support.stores import weights


class Shell:
    """Commands on one store; what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.capsys = capsys

    def __call__(self, *words: object, status: int = 0) -> str:
        self.capsys.readouterr()
        assert run(["--store", str(self.store), "--quiet", *map(str, words)]) == status
        self.said = self.capsys.readouterr()
        return self.said.out

    def json(self, *words: object) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(self("--json", *words))
        return found

    def add(self, text: str, *words: object) -> str:
        (self.folder / "file").write_text(text)
        self("add", self.folder / "file", "acme/m", "-m", text, "--author", "Ann", *words)
        (commit,) = self.json("log", "acme/m", "-n", "1")
        return str(commit["commit"])


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    shell = Shell(tmp_path, capsys)
    shell("init", "--erasure", "2+1")
    return shell


def test_a_walk_through_history(shell: Shell) -> None:
    one, two = shell.add("one"), shell.add("two and more")
    assert shell("tag", "acme/m", "v1", "main~1") == f"acme/m: tag v1 made: {one[:12]}\n"
    assert shell("branch", "acme/m", "next") == f"acme/m: branch next made: {two[:12]}\n"
    assert shell("tag", "acme/m").split()[:2] == ["v1", one[:12]]
    assert [line.split()[0] for line in shell("branch", "acme/m").splitlines()] == ["main", "next"]
    # What else a REV can be: test_revs.
    for rev in ("v1", one[:7]):
        assert shell("log", f"acme/m@{rev}").startswith(one[:12])
        shell("get", f"acme/m@{rev}", shell.folder / rev)
        assert (shell.folder / rev / "file").read_text() == "one"
    assert shell("undo", "acme/m@main") == (f"acme/m: branch main moved: {two[:12]} → {one[:12]}\n")
    assert shell("branch", "acme/m", "main", "next") == (
        f"acme/m: branch main moved: {one[:12]} → {two[:12]}\n"
    )
    assert "points there already" in shell("branch", "acme/m", "main", "next")
    shell("rm", "acme/m")
    assert "no repository acme/m" in (shell("log", "acme/m", status=1), shell.said.err)[1]
    assert len(shell("undo", "acme/m").splitlines()) == 3
    assert shell("log", "acme/m").startswith(two[:12])


def test_what_moved_is_told_by_name(shell: Shell) -> None:
    shell.add("one", "--tag", "v1")
    for name in ("b", "a", "d", "c"):
        shell("branch", "acme/m", name)
    shell("mv", "acme/m", "acme/other")
    said = [line.split(": ")[:2] for line in shell("undo", "acme/m").splitlines()]
    assert said == [
        *(["acme/m", f"branch {name} made"] for name in ("a", "b", "c", "d", "main")),
        ["acme/m", "tag v1 made"],
        *(["acme/other", f"branch {name} removed"] for name in ("a", "b", "c", "d", "main")),
        ["acme/other", "tag v1 removed"],
    ]


@pytest.mark.parametrize("command", [("show",), ("restore",), ("get",)])
def test_where_to_look_for_a_path_is_said_with_its_rev(
    shell: Shell, command: tuple[str, ...]
) -> None:
    shell.add("one", "--tag", "v1")
    shell(*command, "acme/m@v1/none", *(["out"] if command == ("get",) else []), status=1)
    assert "`modelfloat ls acme/m@v1` shows what is" in shell.said.err


def test_the_reflog(shell: Shell) -> None:
    one, two = shell.add("one"), shell.add("two")
    shell("tag", "acme/m", "v1")
    shell("rm", "acme/m@v1")
    said = [line[18:] for line in shell("log", "--reflog", "acme/m").splitlines()]
    assert said == [
        f"tag v1 removed: {two[:12]}",
        f"tag v1 made: {two[:12]}",
        f"branch main moved: {one[:12]} → {two[:12]}",
        f"branch main made: {one[:12]}",
    ]
    (last,) = shell.json("log", "--reflog", "acme/m@main", "-n", "1")
    assert (last["old"], last["new"], last["change"]) == (one, two, "moved")


def test_log_of_branches(shell: Shell) -> None:
    shell.add("one")
    shell("branch", "acme/m", "next")
    two = shell.add("two")
    (shell.folder / "other").write_text("x")
    shell("add", shell.folder / "other", "acme/m@next", "-m", "beside")
    assert len(shell("log", "acme/m").splitlines()) == 2
    lines = shell("log", "--all", "--graph", "acme/m").splitlines()
    assert [line.partition("  ")[0] for line in lines] == ["*", "| *", "|/", "*"]
    assert lines[0].endswith("(next): beside")
    assert lines[1].split("  ")[1] == two[:12]
    assert len(shell.json("log", "--all", "acme/m")) == 3
    for options in ((), ("--all",), ("--all", "--json")):
        assert shell("log", *options, "acme/none", status=1) == ""
        assert "there is no repository acme/none" in shell.said.err


def test_log_of_all_and_of_what_no_branch_has(shell: Shell) -> None:
    """As with git: REV counts beside all branches, and one that is wrong is an error."""
    one = shell.add("one")
    two = shell.add("two")
    shell("branch", "acme/m", "main", "~1", "--force")
    for options in (("--all",), ("--all", "--json"), ("--all", "--graph")):
        assert shell("log", *options, "acme/m@wrong", status=1) == ""
        assert "acme/m has no branch, tag or commit 'wrong'" in shell.said.err
    assert [each["commit"] for each in shell.json("log", "--all", "acme/m")] == [one]
    both = shell.json("log", "--all", f"acme/m@{two[:8]}")
    assert [each["commit"] for each in both] == [two, one]
    with modelfloat.open(shell.store) as store:
        assert len(store.log(f"acme/m@{two[:8].upper()}", every=True)) == 2
        with pytest.raises(NotFoundError, match="no branch, tag or commit 'wrong'"):
            store.log("acme/m@wrong", every=True)
    shell("mv", "acme/m@main", "acme/m@other")
    assert len(shell.json("log", "--all", "acme/m")) == 1


async def _second_head(store: Path, commit: str) -> None:
    zeros = ObjectId(NO_ID)
    change = RefChanged(
        RefKind.BRANCH, "acme", "m", "main", NO_ID, zeros, ObjectId(bytes.fromhex(commit)), 1
    )
    async with (
        open_store(str(store)) as opened,
        opened.access.writing("another site", told=False) as journal,
    ):
        await journal.append([change])


def test_two_heads_are_shown_and_made_one(shell: Shell) -> None:
    import trio

    one = shell.add("one")
    shell.add("two", "--tag", "v2")
    trio.run(_second_head, shell.store, one)
    assert len(shell("log", "acme/m").splitlines()) == 2
    assert "acme/m@main has 2 heads" in shell.said.err
    assert shell("branch", "acme/m").count("one of several heads") == 2
    assert "several heads" in (shell("cat", "acme/m/file", status=1), shell.said.err)[1]
    shell("branch", "acme/m", "main", "v2")
    assert shell("branch", "acme/m").count("several heads") == 0
    assert shell("log", "acme/m")
    assert not shell.said.err


def test_show_a_commit(shell: Shell) -> None:
    one = shell.add("one")
    (shell.folder / "file").write_text("longer")
    (shell.folder / "new").write_text("new")
    sources = shell.folder / "file", shell.folder / "new"
    shell("add", *sources, "acme/m", "-m", "second\n\nits body", "--author", "Bo")
    said = shell("show", "acme/m")
    assert [" ".join(line.split()) for line in said.splitlines() if line][1:3] == [
        f"parent {one}",
        "author Bo",
    ]
    assert "    second\n" in said
    assert "    its body\n" in said
    assert [" ".join(line.split()) for line in said.splitlines()[-2:]] == [
        "~ file 3 B → 6 B",
        "+ new 3 B",
    ]
    (document,) = [json.loads(shell("--json", "show", f"acme/m@{one[:9]}"))]
    assert (document["commit"], document["parents"]) == (one, [])
    (change,) = document["changes"]
    assert (change["path"], change["old"], change["new"]["size"]) == ("file", None, 3)


def test_show_a_file_a_folder_and_a_link(shell: Shell) -> None:
    folder = shell.folder / "source"
    (folder / "sub").mkdir(parents=True)
    data = weights(folder / "sub" / "w.safetensors", 500_000)
    os.symlink("sub", folder / "link")
    shell("add", folder, "acme/m")
    said = shell("show", "acme/m/sub/w.safetensors")
    assert "layer.3.weight" in said
    document = json.loads(shell("--json", "show", "acme/m@main/sub/w.safetensors"))
    assert (document["size"], len(document["tensors"])) == (len(data), 5)
    with modelfloat.open(shell.store) as store:
        tensors = store.tensors("acme/m/sub/w.safetensors")
    assert [t["offset"] for t in document["tensors"]] == [t.offset for t in tensors]
    assert "entries  1" in shell("show", "acme/m/sub")
    assert "target  sub" in shell("show", "acme/m/link")
    shell("show", "acme/m/none", status=1)


def test_the_python_api(shell: Shell) -> None:
    one, two = shell.add("one"), shell.add("two")
    with modelfloat.open(shell.store) as store:
        assert [each.id.hex() for each in store.log("acme/m")] == [two, one]
        store.tag("acme/m", "v1", "main~1")
        store.branch("acme/m", "next")
        assert len(store.log("acme/m@next", every=True)) == 2
        (undone,) = store.undo("acme/m@main")
        assert store.reflog("acme/m@main")[0] == undone
        assert undone.new.hex() == one
