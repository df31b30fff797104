"""What REV means: one table, for every command that takes one, and for names in a mount."""

import json
from pathlib import Path

import pytest
import trio

from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.history.moving import RefMove, move_ref
from modelfloat.cas.history.newcommit import new_commit
from modelfloat.cas.refnames import RepoName
from modelfloat.cli.main import run
from modelfloat.fuse.operations import Operations
from modelfloat.ids import ObjectId
from modelfloat.opening import open_store
from modelfloat.tests.support.walking import LOOK, Kernel

REPO = RepoName("acme", "m")
REVS = {
    "main": "merge",
    "main^0": "merge",
    "main~0": "merge",
    "main~": "two",
    "main^": "two",
    "main^2": "beside",
    "main~2": "one",
    "main~1~1": "one",
    "main^^": "one",
    "main^2~1": "one",
    "main~1^1": "one",
    "~1": "two",
    "^2~": "one",
    "next": "beside",
    "v1": "one",
    "{two}": "two",
    "{two}~1": "one",
    "{merge}^2": "beside",
}
NONE = ("main~3", "~3", "main^3", "v1~1", "main^2~2", "nobody", "{two}0000")
WRONG = ("main~x", "main^-", "main~1x")


def texts_of(name: str) -> bytes:
    """What the one file has in the commit of that name."""
    return name.encode()


async def merge(store: Path) -> dict[str, str]:
    """Give `main` a commit with two parents; digits of it, and of the one before it."""
    async with (
        open_store(str(store)) as opened,
        opened.access.writing("a test", told=False) as journal,
    ):
        (head,) = opened.refs.heads_of(REPO, RefKind.BRANCH, "main")
        before = opened.objects.commit(head.commit)
        parents = (before.parents[0], opened.refs.resolve(REPO, "next"))
        data = new_commit(before.tree, parents, "Ann", "merge", None)
        commit: ObjectId = opened.index.ids.object(data)
        await opened.index.write(opened.index.put_objects, {commit: data})
        move = RefMove(REPO, head.kind, head.ref, (head,), commit)
        await move_ref(opened.access, journal, [move])
        return {"merge": commit.hex()[:9], "two": parents[0].hex()[:9]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store whose `acme/m` has a merge of `next` in `main`, and digits of its commits."""
    folder = tmp_path_factory.mktemp("revs")
    store, file = folder / "store", folder / "file"

    def do(*words: object) -> None:
        assert run(["--store", str(store), "--quiet", *map(str, words)]) == 0

    def add(name: str, branch: str, *words: str) -> None:
        file.write_bytes(texts_of(name))
        do("add", file, f"acme/m@{branch}", *words)

    do("init", "--erasure", "1+1")
    add("one", "main", "--tag", "v1")
    do("branch", "acme/m", "next")
    add("beside", "next")
    add("two", "main")
    add("merge", "main")
    return store, trio.run(merge, store)


@pytest.mark.parametrize(("rev", "name"), REVS.items())
def test_a_rev_is_the_same_everywhere(
    made: tuple[Path, dict[str, str]],
    rev: str,
    name: str,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    store, digits = made
    at, text = f"acme/m@{rev.format(**digits)}", texts_of(name)

    def said(*words: str) -> bytes:
        capfdbinary.readouterr()
        assert run(["--store", str(store), "--json", *words]) == 0
        return capfdbinary.readouterr().out

    assert said("cat", f"{at}/file") == text
    (entry,) = json.loads(said("ls", at))
    assert (entry["name"], entry["size"]) == ("file", len(text))
    # Everything but the one file of `merge` differs from it.
    assert (b'"file"' in said("diff", at, "acme/m")) is (name != "merge")


def test_a_mount_has_them_too(made: tuple[Path, dict[str, str]]) -> None:
    store, digits = made

    async def walk() -> None:
        async with open_store(str(store)) as opened:
            kernel = Kernel(Operations(opened, LOOK))
            for rev, name in REVS.items():
                path = f"acme/m@{rev.format(**digits)}/file"
                assert await kernel.content(path) == texts_of(name), rev
            for rev in (*NONE, *WRONG):
                assert await kernel.missing(f"acme/m@{rev.format(**digits)}"), rev

    trio.run(walk)


@pytest.mark.parametrize(
    ("rev", "status"), [*((rev, 1) for rev in NONE), *((rev, 2) for rev in WRONG)]
)
def test_what_is_none(
    made: tuple[Path, dict[str, str]], rev: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store, digits = made
    at = f"acme/m@{rev.format(**digits)}"
    assert run(["--store", str(store), "ls", at]) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("command", ["ls", "log", "show", "verify"])
def test_a_name_that_is_not_utf8_is_nobodys(
    made: tuple[Path, dict[str, str]], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--store", str(made[0]), command, "acme/m@\udcff"]) == 1
    assert "acme/m has no branch, tag or commit '\\udcff'; it has main" in capsys.readouterr().err
