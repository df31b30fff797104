"""Branches edited in place: what rm, mv and restore make of trees, and what they leave alone."""

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelfloat.cas.edit.edits import EditReport
from modelfloat.cas.edit.renaming import RenameReport
from modelfloat.cas.formats.journal import RefKind
from modelfloat.cas.formats.tree import Entry
from modelfloat.cas.get.getting import get
from modelfloat.cas.history import moving
from modelfloat.cas.refnames import RepoName, parse_address
from modelfloat.cas.store import Store
from modelfloat.erasure.scheme import Scheme
from modelfloat.errors import (
    ExistsError,
    KeyNeededError,
    NotFoundError,
    RefMovedError,
    UsageError,
)
from modelfloat.opening import open_store
from modelfloat.tests.support.encrypted import ALICE, make_encrypted
from modelfloat.tests.support.folders import contents
from modelfloat.tests.support.samples import noise
from modelfloat.tests.support.sites import another_site
from modelfloat.tests.support.stores import add, fresh_store, read, shard_files

REPO = RepoName("acme", "model")


def make_source(folder: Path) -> Path:
    """Files, folders and links, with modes and times of their own."""
    (folder / "a" / "deep" / "empty").mkdir(parents=True)
    (folder / "a" / "deep" / "file").write_bytes(noise("file", 200_000))
    (folder / "a" / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "a" / "run").chmod(0o751)
    (folder / "a" / "link").symlink_to("deep/file")
    (folder / "a" / "dangling").symlink_to("nowhere")
    (folder / "b").write_bytes(b"b")
    (folder / "b").chmod(0o400)
    (folder / "a" / "deep" / "empty").chmod(0o500)
    for number, path in enumerate(sorted(folder.rglob("*"))):
        time = 1_500_000_000_123_456_789 + number
        os.utime(path, ns=(time, time), follow_symlinks=False)
    os.utime(folder / "a" / "deep", ns=(7, 7))
    return folder


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store with `source` in acme/model."""
    make_source(tmp_path / "source")
    async with fresh_store(tmp_path / "store", "2+1") as store:
        await add(store, tmp_path / "source")
        yield store


async def remove(store: Store, address: str) -> EditReport:
    done = await store.remove(parse_address(address), author="Ada")
    assert done.before is not None
    return EditReport(
        done.repo, done.branch, done.before, done.commit, done.path, done.files, done.size
    )


async def move(store: Store, source: str, target: str) -> EditReport:
    done = await store.move(parse_address(source), parse_address(target), author="Ada")
    assert isinstance(done, EditReport)
    return done


async def rename(store: Store, source: str, target: str) -> RenameReport:
    done = await store.move(parse_address(source), parse_address(target))
    assert isinstance(done, RenameReport)
    return done


async def restore(store: Store, address: str, branch: str | None = None) -> EditReport:
    return await store.restore(parse_address(address), branch, author="Ada")


def names(store: Store, address: str = "acme/model") -> list[str]:
    """Every path of a tree, folders with a slash behind them, sorted."""
    where = parse_address(address)
    root = store.objects.commit(store.refs.resolve(where.repo, where.rev)).tree
    found: list[str] = []
    queue = [("", root)]
    while queue:
        path, tree = queue.pop()
        for entry in store.objects.directory(tree).entries():
            name = path + os.fsdecode(entry.name)
            if entry.type.name == "DIRECTORY":
                queue.append((f"{name}/", entry.object))
                name += "/"
            found.append(name)
    return sorted(found)


def check_sizes(store: Store, address: str = "acme/model") -> None:
    """Every folder's size is that of all files beneath."""
    where = parse_address(address)

    def beneath(entries: list[Entry]) -> int:
        total = 0
        for entry in entries:
            size = 0 if entry.type.name == "SYMLINK" else entry.size
            if entry.type.name == "DIRECTORY":
                inner = list(store.objects.directory(entry.object).entries())
                assert size == beneath(inner), entry.name
            total += size
        return total

    root = store.objects.commit(store.refs.resolve(where.repo, where.rev)).tree
    beneath(list(store.objects.directory(root).entries()))


async def check_equal(store: Store, address: str, folder: Path, out: Path) -> None:
    """What `get` writes is what lies in a folder: bytes, modes, times, links, empty folders."""
    await get(store, parse_address(address), str(out), verify=True)
    assert contents(out) == contents(folder)
    shutil.rmtree(out)


async def test_a_file_and_a_folder_go_and_come_back(store: Store, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    first = await remove(store, "acme/model/a/deep")
    assert (first.files, first.size, first.path) == (1, 200_000, "a/deep")
    assert names(store) == ["a/", "a/dangling", "a/link", "a/run", "b"]
    check_sizes(store)
    second = await remove(store, "acme/model/b")
    assert second.before == first.commit
    await check_equal(store, "acme/model@main~2", source, out)
    back = await restore(store, "acme/model@main~2/a/deep")
    assert (back.branch, back.files, back.size) == ("main", 1, 200_000)
    await restore(store, f"acme/model@{first.before.hex()[:12]}/b")
    await check_equal(store, "acme/model", source, out)
    check_sizes(store)
    again = await restore(store, "acme/model@main~4")
    assert again.commit is None


async def test_everything_as_it_was(store: Store, tmp_path: Path) -> None:
    await remove(store, "acme/model/a")
    (tmp_path / "new").write_bytes(b"new")
    await add(store, tmp_path / "new")
    done = await restore(store, "acme/model@main~2")
    assert (done.path, done.files) == ("", 5)
    await check_equal(store, "acme/model", tmp_path / "source", tmp_path / "out")
    assert names(store, "acme/model@main~1") == ["b", "new"]
    assert store.objects.commit(done.commit or done.before).author == "Ada"


async def test_folders_on_the_way_are_made_as_they_were(store: Store, tmp_path: Path) -> None:
    await remove(store, "acme/model/a")
    await restore(store, "acme/model@main~1/a/deep/file")
    await get(store, parse_address("acme/model"), str(tmp_path / "out"))
    kept = {b"b", b"a", b"a/deep", b"a/deep/file"}
    was = contents(tmp_path / "source")
    assert contents(tmp_path / "out") == {path: was[path] for path in kept}


async def test_a_restored_folder_loses_what_came_since(store: Store, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    await add(store, tmp_path / "new", "acme/model/a/deep/")
    await restore(store, "acme/model@main~1/a")
    await check_equal(store, "acme/model", tmp_path / "source", tmp_path / "out")


async def test_mv_within_a_branch(store: Store, tmp_path: Path) -> None:
    done = await move(store, "acme/model/a/run", "acme/model/c/d/start")
    assert (done.path, done.files, done.size) == ("c/d/start", 1, 10)
    await move(store, "acme/model@main/a/deep", "acme/model@main/c")
    await move(store, "acme/model/b", "acme/model/new/")
    assert names(store) == [
        *("a/", "a/dangling", "a/link", "c/", "c/d/", "c/d/start", "c/deep/", "c/deep/empty/"),
        *("c/deep/file", "new/", "new/b"),
    ]
    check_sizes(store)
    out = tmp_path / "out"
    await get(store, parse_address("acme/model"), str(out))
    was, found = contents(tmp_path / "source"), contents(out)
    assert found[b"c/d/start"] == was[b"a/run"]
    assert found[b"c/deep/file"] == was[b"a/deep/file"]
    assert found[b"c/deep"] == was[b"a/deep"]
    await move(store, "acme/model/c/deep", "acme/model")
    assert "deep/file" in names(store)
    messages = [store.objects.commit(store.refs.resolve(REPO, f"main~{n}")).message for n in (0, 3)]
    assert messages == ["move c/deep to deep", "move a/run to c/d/start"]


async def test_what_cannot_be_moved_stays(store: Store) -> None:
    before = store.refs.resolve(REPO)
    for source, target, error in (
        ("acme/model/a", "acme/model/a/deep/", UsageError),
        ("acme/model/a", "acme/model/a/other", UsageError),
        ("acme/model/a", "acme/other/a", UsageError),
        ("acme/model/a", "acme/model@dev/a", UsageError),
        ("acme/model/b", "acme/model/a/run", ExistsError),
        ("acme/model/b", "acme/model/b", ExistsError),
        ("acme/model/a/run", "acme/model/b/run", ExistsError),
        ("acme/model/none", "acme/model/x", NotFoundError),
        ("acme/model@v1/a", "acme/model@v1/x", NotFoundError),
        ("acme/model@main~0/a", "acme/model@main~0/x", UsageError),
        ("acme/model/b", "acme/model/" + "x/" * 401, UsageError),
    ):
        with pytest.raises(error):
            await move(store, source, target)
    assert store.refs.resolve(REPO) == before


async def test_edits_read_no_backend(store: Store, tmp_path: Path) -> None:
    away = {path: path.with_suffix(".away") for path in shard_files(tmp_path / "store")}
    for path, elsewhere in away.items():
        path.rename(elsewhere)
    await move(store, "acme/model/a/deep", "acme/model/c/")
    await remove(store, "acme/model/b")
    await restore(store, "acme/model@main~2/a")
    for path, elsewhere in away.items():
        elsewhere.rename(path)
    await get(store, parse_address("acme/model"), str(tmp_path / "out"))
    was, found = contents(tmp_path / "source"), contents(tmp_path / "out")
    assert found[b"a/deep/file"] == found[b"c/deep/file"] == was[b"a/deep/file"]
    assert (await store.verify()).exit_status == 0


async def test_a_branch_other_than_main(store: Store, tmp_path: Path) -> None:
    await store.add([str(tmp_path / "source")], parse_address("acme/model@dev"))
    await remove(store, "acme/model@dev/a")
    assert names(store, "acme/model@dev") == ["b"]
    assert "a/run" in names(store)
    await restore(store, "acme/model@dev~1/a/run")
    assert names(store, "acme/model@dev") == ["a/", "a/run", "b"]
    await restore(store, "acme/model@dev/a", "main")
    assert names(store) == ["a/", "a/run", "b"]
    with pytest.raises(NotFoundError, match="has no branch 'none'"):
        await restore(store, "acme/model@dev/a", "none")
    with pytest.raises(UsageError, match="restore needs the commit"):
        await restore(store, "acme/model/a")


async def test_a_scheme_of_its_own_stays(store: Store, tmp_path: Path) -> None:
    from modelfloat.cas.add.request import AddRequest

    request = AddRequest(
        [str(tmp_path / "source")], parse_address("acme/own"), erasure=Scheme(1, 2)
    )
    await store.carry_out(request)
    done = await remove(store, "acme/own/b")
    assert done.commit is not None
    assert store.objects.commit(done.commit).erasure == Scheme(1, 2)


async def test_refs_get_other_names(store: Store, tmp_path: Path) -> None:
    await store.add([str(tmp_path / "source")], parse_address("acme/model@dev"), tag="v1")
    commits = {head.ref: head.commit for head in store.refs.heads(REPO)}
    done = await rename(store, "acme/model", "other/one")
    assert {head.ref for head in done.refs} == {"main", "dev", "v1"}
    other = RepoName("other", "one")
    assert {head.ref: head.commit for head in store.refs.heads(other)} == commits
    assert store.refs.heads(REPO) == []
    await rename(store, "other/one@dev", "other/one@next")
    await rename(store, "other/one@v1", "other/one@v2")
    kinds = {head.ref: head.kind for head in store.refs.heads(other)}
    assert kinds == {"main": RefKind.BRANCH, "next": RefKind.BRANCH, "v2": RefKind.TAG}
    await add(store, tmp_path / "source")
    for source, target, error in (
        ("acme/model", "other/one", ExistsError),
        ("other/one@main", "other/one@next", ExistsError),
        ("other/one@main", "other/one@v2", ExistsError),
        ("other/one@main", "acme/model@x", UsageError),
        ("other/one", "other/one@x", UsageError),
        ("other/one@x", "other/one@y", NotFoundError),
        ("none/none", "a/b", NotFoundError),
        ("other/one@main", "other/one@a b", UsageError),
    ):
        with pytest.raises(error):
            await rename(store, source, target)
    assert {head.ref for head in store.refs.heads(other)} == {"main", "next", "v2"}


def adding_first(store: Store, source: Path, targets: list[str], patch: pytest.MonkeyPatch) -> None:
    """Have somebody add a file, called `new`, to the last of the targets before an edit's ref
    moves, as long as there are any."""
    source.write_bytes(b"new")
    real = moving.move_ref

    async def late(*given: object) -> object:
        if targets:
            await add(store, source, targets.pop())
        return await real(*given)  # type: ignore[arg-type]

    patch.setattr("modelfloat.cas.edit.editing.move_ref", late)


async def test_an_edit_goes_over_what_others_add(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch moves between an edit's look and its move: elsewhere, then where it looked."""
    targets = ["acme/model/"]
    adding_first(store, tmp_path / "new", targets, monkeypatch)
    done = await remove(store, "acme/model/b")
    assert done.before == store.refs.resolve(REPO, "main~1")
    assert "new" in names(store)
    assert "b" not in names(store)
    targets.append("acme/model/a/run")
    with pytest.raises(RefMovedError, match="moved meanwhile"):
        await remove(store, "acme/model/a/run")
    assert "a/run" in names(store)


async def test_a_rev_means_what_it_meant_when_the_command_began(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch moves meanwhile: main~1 is another commit then."""
    targets = ["acme/model/"]
    await remove(store, "acme/model/b")
    adding_first(store, tmp_path / "new", targets, monkeypatch)
    await restore(store, "acme/model@main~1/b")
    assert {"b", "new"} <= set(names(store))
    await remove(store, "acme/model/b")
    targets.append("acme/model/a/")
    with pytest.raises(RefMovedError, match="moved meanwhile"):
        await restore(store, "acme/model@main~1")
    assert "a/new" in names(store)
    assert "b" not in names(store)


async def test_what_gc_deleted_is_not_restored(store: Store, tmp_path: Path) -> None:
    """The commit may be there still, in a pack that is needed; what it had is not."""
    for name in ("gone", "kept"):
        (tmp_path / name).write_bytes(noise(name, 400_000))
        await add(store, tmp_path / name, "acme/model@dev")
    commit = store.refs.resolve(REPO, "dev")
    await add(store, tmp_path / "kept")
    await store.remove(parse_address("acme/model@dev"))
    await store.gc(grace=0)
    assert store.refs.resolve(REPO, commit.hex()) == commit
    before = store.refs.resolve(REPO)
    for path in ("", "/gone"):
        with pytest.raises(NotFoundError, match="had is gone: a gc deleted it"):
            await restore(store, f"acme/model@{commit.hex()}{path}")
    assert store.refs.resolve(REPO) == before
    await remove(store, "acme/model/kept")
    await restore(store, f"acme/model@{commit.hex()}/kept")
    assert await read(store, "acme/model/kept") == noise("kept", 400_000)
    assert (await store.verify()).exit_status == 0


async def test_edits_of_two_sites(store: Store, tmp_path: Path) -> None:
    elsewhere = await another_site(tmp_path / "store", tmp_path / "elsewhere")
    async with open_store(str(elsewhere)) as there:
        await remove(there, "acme/model/b")
        await remove(store, "acme/model/a")
        assert names(store) == []
        await restore(there, "acme/model@main~2/a")
        assert names(there)[0] == "a/"
        assert "b" not in names(there)


async def test_encrypted_stores_are_edited(tmp_path: Path) -> None:
    make_source(tmp_path / "source")
    (tmp_path / "source" / "secret-plans").write_bytes(b"plans")
    await make_encrypted(tmp_path / "store")
    async with open_store(str(tmp_path / "store"), secret=ALICE) as store:
        await add(store, tmp_path / "source")
        await move(store, "acme/model/secret-plans", "acme/model/secret-deeds")
        await remove(store, "acme/model/a")
        await rename(store, "acme/model", "hidden/treasure")
        assert names(store, "hidden/treasure") == ["b", "secret-deeds"]
        await restore(store, "hidden/treasure@main~2")
        await check_equal(store, "hidden/treasure", tmp_path / "source", tmp_path / "out")
    told = b"".join(p.read_bytes() for p in (tmp_path / "store/backends").rglob("*") if p.is_file())
    assert b"secret-" not in told
    assert b"treasure" not in told
    async with open_store(str(tmp_path / "store")) as store:
        with pytest.raises(KeyNeededError):
            await remove(store, "hidden/treasure/b")
