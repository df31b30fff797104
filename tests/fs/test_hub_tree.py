"""`DIR/.hf`: what its paths mean, what it lists, and what it calls repositories and commits."""

import errno
import logging

import pytest

from modelfloat.cas.refnames import RepoName
from modelfloat.fuse.hubnames import OLDER, folder_of, repository_of
from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.listings import LASTING, MOVING
from modelfloat.ids import ObjectId
from modelfloat.tests.support.hfcaches import commit_of
from modelfloat.tests.support.shelf import TIME_NS, Link, Shelf
from modelfloat.tests.support.walking import Kernel

FILES = {"config.json": b"{}", "deep/model.bin": b"weights", "deep/link": Link(b"model.bin")}
MODEL = ".hf/models--acme--llama"


def short(commit: ObjectId) -> str:
    """The 40 digits that stand for a commit of ours."""
    return commit.hex()[:40]


async def test_it_is_there_and_not_listed(shelf: Shelf, kernel: Kernel) -> None:
    assert await kernel.names(".hf") == []
    shelf.commit("acme/llama", FILES)
    assert await kernel.names("") == [b"acme"]
    assert (await kernel.entry(".hf")).lifetime == LASTING
    assert await kernel.names(".hf") == [b"models--acme--llama"]
    assert await kernel.names(MODEL) == [b"refs", b"snapshots"]


async def test_a_ref_holds_the_name_of_a_snapshot_and_nothing_else(
    shelf: Shelf, kernel: Kernel
) -> None:
    commit = shelf.commit("acme/llama", FILES)
    shelf.commit("acme/llama", {"dev": b"dev"}, branch="dev")
    shelf.tag("acme/llama", "v1", commit)
    assert await kernel.names(f"{MODEL}/refs") == [b"dev", b"main", b"v1"]
    for ref in ("main", "v1"):
        assert await kernel.content(f"{MODEL}/refs/{ref}") == short(commit).encode()
    found = await kernel.entry(f"{MODEL}/refs/main")
    assert (found.attributes.size, found.attributes.mtime_ns) == (40, TIME_NS)
    assert found.lifetime == MOVING
    assert await kernel.content(f"{MODEL}/refs/main", 38) == short(commit)[38:].encode()
    assert await kernel.content(f"{MODEL}/refs/main", 40) == b""


async def test_a_snapshot_is_the_commit(shelf: Shelf, kernel: Kernel) -> None:
    commit = shelf.commit("acme/llama", FILES)
    snapshot = f"{MODEL}/snapshots/{short(commit)}"
    assert await kernel.names(f"{MODEL}/snapshots") == [short(commit).encode()]
    assert await kernel.names(snapshot) == [b"config.json", b"deep"]
    assert await kernel.content(f"{snapshot}/deep/model.bin") == b"weights"
    assert (await kernel.entry(snapshot)).lifetime == LASTING
    file = await kernel.inode(f"{snapshot}/deep/model.bin")
    assert file == await kernel.inode("acme/llama/deep/model.bin"), "one content, one inode"
    assert await kernel.inode(snapshot) != await kernel.inode("acme/llama")


async def test_commits_of_the_hub_keep_their_names(shelf: Shelf, kernel: Kernel) -> None:
    old, new = commit_of("old"), commit_of("new")
    shelf.commit("acme/llama", {"v": b"1"}, branch=old)
    shelf.commit("acme/llama", {"v": b"1"})
    shelf.commit("acme/llama", {"v": b"2"}, branch=new)
    shelf.commit("acme/llama", {"v": b"2"})
    assert await kernel.names(f"{MODEL}/refs") == [b"main"]
    assert await kernel.content(f"{MODEL}/refs/main") == new.encode()
    assert await kernel.names(f"{MODEL}/snapshots") == sorted([old.encode(), new.encode()])
    for name, content in ((old, b"1"), (new, b"2")):
        assert await kernel.content(f"{MODEL}/snapshots/{name}/v") == content
        assert (await kernel.entry(f"{MODEL}/snapshots/{name}")).lifetime == MOVING
    ours = shelf.commit("acme/llama", {"v": b"3"})
    assert await kernel.content(f"{MODEL}/refs/main") == short(ours).encode()


async def test_of_two_names_for_one_tree_both_can_be_used(shelf: Shelf, kernel: Kernel) -> None:
    names = sorted(commit_of(label) for label in ("one", "two"))
    for name in names:
        shelf.commit("acme/llama", FILES, branch=name)
    shelf.commit("acme/llama", FILES)
    assert await kernel.names(f"{MODEL}/snapshots") == [name.encode() for name in names]
    assert (await kernel.content(f"{MODEL}/refs/main")).decode() in names


async def test_a_model_that_is_being_loaded_stays_listed(shelf: Shelf, kernel: Kernel) -> None:
    commits = [shelf.commit("acme/llama", {"v": b"%d" % i}) for i in range(OLDER + 3)]
    listed = await kernel.names(f"{MODEL}/snapshots")
    assert set(listed) == {short(commit).encode() for commit in commits[2:]}
    oldest = f"{MODEL}/snapshots/{short(commits[0])}"
    assert await kernel.content(f"{oldest}/v") == b"0", "what is not listed is there"


async def test_refs_with_slashes_are_folders(shelf: Shelf, kernel: Kernel) -> None:
    commit = shelf.commit("acme/llama", FILES, branch="refs/pr/1")
    shelf.commit("acme/llama", FILES, branch="refs/pr/12")
    assert await kernel.names(f"{MODEL}/refs") == [b"refs"]
    assert await kernel.names(f"{MODEL}/refs/refs/pr") == [b"1", b"12"]
    assert await kernel.content(f"{MODEL}/refs/refs/pr/1") == short(commit).encode()
    assert await kernel.missing(f"{MODEL}/refs/refs/p")


async def test_each_commit_is_read_once_or_so_for_a_listing(
    shelf: Shelf, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 30
    for number in range(count):
        shelf.commit("acme/llama", {"v": b"%d" % number}, branch=commit_of(str(number)))
        shelf.commit("acme/llama", {"v": b"%d" % number}, branch=f"b{number}")
    read: list[ObjectId] = []
    commit = shelf.objects.commit
    monkeypatch.setattr(shelf.objects, "commit", lambda id_: (read.append(id_), commit(id_))[1])
    heads, listings = shelf.refs.heads, []
    monkeypatch.setattr(shelf.refs, "heads", lambda repo: (listings.append(repo), heads(repo))[1])
    folder = await kernel.inode(f"{MODEL}/refs")
    read.clear()
    listings.clear()
    handle = await kernel.operations.opendir(folder)
    assert len(await kernel.part(handle, 0, 999)) == count
    assert (len(read), len(listings)) == (2 * count, 1)


async def test_what_is_not_there(shelf: Shelf, kernel: Kernel) -> None:
    commit = shelf.commit("acme/llama", FILES)
    other = shelf.commit("acme/bert", {"x": b"x"})
    for path in (
        ".hf/models--acme--none",
        ".hf/models--acme--lla",
        ".hf/datasets--acme--llama",
        ".hf/acme",
        ".hf/models",
        ".hf/.locks",
        f"{MODEL}/blobs",
        f"{MODEL}/.no_exist",
        f"{MODEL}/refs/none",
        f"{MODEL}/refs/{short(commit)}",
        f"{MODEL}/snapshots/main",
        f"{MODEL}/snapshots/{commit.hex()}",
        f"{MODEL}/snapshots/{short(commit)[:39]}",
        f"{MODEL}/snapshots/{short(other)}",
        f"{MODEL}/snapshots/{short(commit)}/none",
        "acme/.hf",
    ):
        assert await kernel.missing(path), path
    with pytest.raises(OSError) as caught:
        await kernel.operations.open(await kernel.inode(f"{MODEL}/refs"), 0)
    assert caught.value.errno == errno.EISDIR
    with pytest.raises(OSError) as caught:
        await kernel.operations.opendir(await kernel.inode(f"{MODEL}/refs/main"))
    assert caught.value.errno == errno.ENOTDIR


async def test_a_branch_of_two_heads_is_an_error_not_a_choice(
    shelf: Shelf, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    commits = [shelf.commit("acme/llama", {"v": b"%d" % i}, beside=bool(i)) for i in range(2)]
    shelf.commit("acme/llama", FILES, branch="dev")
    assert await kernel.names(f"{MODEL}/refs") == [b"dev"]
    assert "several heads" in caplog.records[-1].getMessage()
    with caplog.at_level(logging.ERROR), pytest.raises(OSError) as caught:
        await kernel.entry(f"{MODEL}/refs/main")
    assert caught.value.errno == errno.EIO
    listed = await kernel.names(f"{MODEL}/snapshots")
    assert {short(commit).encode() for commit in commits} < set(listed)


async def test_new_commits_and_repositories_appear(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", {"v": b"1"})
    before = await kernel.inode(f"{MODEL}/refs/main")
    second = shelf.commit("acme/llama", {"v": b"2"})
    shelf.commit("acme/bert", FILES)
    assert await kernel.content(f"{MODEL}/refs/main") == short(second).encode()
    assert await kernel.inode(f"{MODEL}/refs/main") != before, "a file never changes"
    assert await kernel.names(".hf") == [b"models--acme--bert", b"models--acme--llama"]


async def test_models_without_a_vendor(shelf: Shelf, kernel: Kernel) -> None:
    commit = shelf.commit("huggingface/gpt2", FILES)
    assert await kernel.names(".hf") == [b"models--huggingface--gpt2"]
    for folder in ("models--gpt2", "models--huggingface--gpt2"):
        assert await kernel.content(f".hf/{folder}/refs/main") == short(commit).encode()


async def test_what_the_mount_writes_itself_is_no_file_of_a_commit(
    shelf: Shelf, kernel: Kernel
) -> None:
    """`gc` asks which manifests are in use, and these have none."""
    shelf.commit("acme/llama", FILES)
    inode = await kernel.inode(f"{MODEL}/refs/main")
    handle = await kernel.operations.open(inode, 0)
    assert kernel.operations.open_files() == ()
    assert await kernel.operations.listxattr(inode) == []
    assert await kernel.operations.listxattr(await kernel.inode(".hf")) == []
    parts = kernel.operations.read_at_once(handle, 0, 100, lambda _job: None)
    assert parts is not None
    assert len(b"".join(parts)) == 40
    kernel.operations.release(handle)
    assert kernel.operations.getattr(ROOT).mtime_ns == 42


@pytest.mark.parametrize(
    "repo",
    [RepoName("acme", "llama-3.1"), RepoName("huggingface", "gpt2"), RepoName("a", "-x")],
)
def test_folders_are_read_back(repo: RepoName) -> None:
    folder = folder_of(repo)
    assert folder == f"models--{repo.vendor}--{repo.name}"
    assert repository_of(folder) == repo


@pytest.mark.parametrize(
    "repo",
    [
        RepoName("acme", "a--b"),
        RepoName("acme--x", "a"),
        RepoName("acme-", "a"),
        RepoName("a" * 128, "b" * 128),
    ],
)
async def test_what_would_be_read_as_another_repository_is_not_shown(
    repo: RepoName, shelf: Shelf, kernel: Kernel
) -> None:
    shelf.commit(str(repo), FILES)
    assert folder_of(repo) is None
    assert await kernel.names(".hf") == []
