"""What paths mean: repositories, revisions, folders, and how long each may be trusted."""

import errno
import logging
import stat
import threading

import pytest
import trio

from modelfloat.cas.formats.tree import EntryType
from modelfloat.fuse.attributes import Look
from modelfloat.fuse.inodes import ROOT, Inodes
from modelfloat.fuse.listings import LASTING, MOVING
from modelfloat.fuse.operations import Operations
from modelfloat.tests.support.shelf import TIME_NS, Link, Shelf
from modelfloat.tests.support.walking import Kernel

PATIENCE = 5.0
FILES = {
    "config.json": b"{}",
    "deep/down/model.bin": b"weights",
    "deep/link": Link(b"down/model.bin"),
    "empty": b"",
}


async def test_an_empty_store_has_an_empty_root(kernel: Kernel) -> None:
    assert await kernel.names("") == []
    assert kernel.operations.getattr(ROOT).mode == stat.S_IFDIR | 0o555


async def test_listings(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    shelf.commit("acme/bert", FILES, branch="main")
    shelf.commit("zoo/cat", FILES)
    assert await kernel.names("") == [b"acme", b"zoo"]
    assert await kernel.names("acme") == [b"bert", b"llama"]
    assert await kernel.names("acme/llama") == [b"config.json", b"deep", b"empty"]
    assert await kernel.names("acme/llama/deep") == [b"down", b"link"]


async def test_attributes(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES | {"big": bytes(1025)}, mode=0o700)
    big = (await kernel.entry("acme/llama/big")).attributes
    assert (big.kind, big.mode) == (EntryType.FILE, stat.S_IFREG | 0o444)
    assert (big.size, big.blocks, big.nlink) == (1025, 3, 1)
    assert (big.uid, big.gid, big.mtime_ns) == (1000, 1001, TIME_NS)
    deep = (await kernel.entry("acme/llama/deep")).attributes
    assert (deep.mode, deep.mtime_ns) == (stat.S_IFDIR | 0o555, TIME_NS)
    link = (await kernel.entry("acme/llama/deep/link")).attributes
    assert (link.mode, link.size) == (stat.S_IFLNK | 0o777, len(b"down/model.bin"))
    assert kernel.operations.readlink(link.inode) == b"down/model.bin"
    assert (await kernel.entry("acme")).attributes.mtime_ns == 42
    assert kernel.operations.getattr(big.inode) == big


async def test_the_umask_holds_permissions_back(shelf: Shelf) -> None:
    shelf.commit("acme/llama", FILES)
    kernel = Kernel(Operations(shelf, Look(0, 0, 0o077, 0)))
    assert (await kernel.entry("acme/llama/empty")).attributes.mode == stat.S_IFREG | 0o400
    assert (await kernel.entry("acme/llama/deep")).attributes.mode == stat.S_IFDIR | 0o500
    link = (await kernel.entry("acme/llama/deep/link")).attributes
    assert link.mode == stat.S_IFLNK | 0o777


async def test_what_is_not_there(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    for path in (
        "nobody",
        ".hidden",
        "acme@main",
        "acme/none",
        "acme/.git",
        "acme/llama@",
        "acme/llama@none",
        "acme/llama@main~1",
        "acme/llama@main~x",
        "acme/none@main",
        "acme/llama/none",
        "acme/llama/deep/none",
    ):
        assert await kernel.missing(path), path
    with pytest.raises(OSError) as caught:
        await kernel.operations.lookup(await kernel.inode("acme"), b"\xff\xfe")
    assert caught.value.errno == errno.ENOENT


async def test_a_name_longer_than_linux_allows_is_told_so(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", {"a" * 256: b"hidden", "b" * 255: b"shown"})
    for folder in "", "acme", "acme/llama", ".hf":
        with pytest.raises(OSError) as caught:
            await kernel.operations.lookup(await kernel.inode(folder), b"a" * 256)
        assert caught.value.errno == errno.ENAMETOOLONG, folder
    assert await kernel.inode("acme/llama/" + "b" * 255)


async def test_a_file_holds_no_names(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    file = await kernel.inode("acme/llama/empty")
    for request in (kernel.operations.lookup(file, b"x"), kernel.operations.opendir(file)):
        with pytest.raises(OSError) as caught:
            await request
        assert caught.value.errno == errno.ENOTDIR


async def test_revisions_and_how_long_they_last(shelf: Shelf, kernel: Kernel) -> None:
    first = shelf.commit("acme/llama", {"v": b"1"})
    second = shelf.commit("acme/llama", {"v": b"2"})
    shelf.commit("acme/llama", {"v": b"dev"}, branch="dev")
    shelf.tag("acme/llama", "v1", first)
    for shown, content, lifetime in (
        ("llama", b"2", MOVING),
        ("llama@main", b"2", MOVING),
        ("llama@main~1", b"1", MOVING),
        ("llama@main~", b"1", MOVING),
        ("llama@dev", b"dev", MOVING),
        ("llama@v1", b"1", MOVING),
        (f"llama@{first.hex()}", b"1", LASTING),
        (f"llama@{second.hex()[:16]}", b"2", MOVING),
        (f"llama@{second.hex()[:16]}~1", b"1", MOVING),
    ):
        assert (await kernel.entry(f"acme/{shown}")).lifetime == lifetime, shown
        assert await kernel.content(f"acme/{shown}/v") == content, shown
    assert (await kernel.entry("acme")).lifetime == MOVING
    assert (await kernel.entry("acme/llama/v")).lifetime == LASTING
    assert await kernel.names("acme") == [b"llama"]


async def test_a_slash_in_a_revision_is_escaped(shelf: Shelf, kernel: Kernel) -> None:
    """Refs that came from elsewhere may hold one, whatever our own commands allow."""
    shelf.commit("acme/llama", {"v": b"pr"}, branch="refs/pr/1")
    assert await kernel.content("acme/llama@refs%2Fpr%2F1/v") == b"pr"
    assert await kernel.content("acme/llama@refs%2fpr%2f1/v") == b"pr"
    assert await kernel.missing("acme/llama@refs%2Fpr")


async def test_a_repository_without_a_default_branch(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES, branch="dev")
    assert await kernel.names("acme") == []
    assert await kernel.missing("acme/llama")
    assert b"empty" in await kernel.names("acme/llama@dev")


async def test_a_branch_of_two_heads_is_an_error_not_a_choice(
    shelf: Shelf, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    one = shelf.commit("acme/llama", {"v": b"1"})
    shelf.commit("acme/llama", {"v": b"2"}, beside=True)
    shelf.commit("acme/bert", FILES)
    assert await kernel.names("acme") == [b"bert"]
    with pytest.raises(OSError) as caught:
        await kernel.entry("acme/llama")
    assert caught.value.errno == errno.EIO
    assert await kernel.content(f"acme/llama@{one.hex()}/v") == b"1"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all("several heads" in line for line in told)


async def test_new_commits_and_repositories_appear(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", {"v": b"1", "same": b"same"})
    before = await kernel.inode("acme/llama")
    kept = {name: await kernel.inode(f"acme/llama/{name}") for name in ("v", "same")}
    shelf.commit("acme/llama", {"v": b"2", "same": b"same"})
    shelf.commit("new/one", FILES)
    assert await kernel.inode("acme/llama") != before
    assert await kernel.content("acme/llama/v") == b"2"
    assert await kernel.inode("acme/llama/v") != kept["v"]
    assert await kernel.inode("acme/llama/same") == kept["same"]
    assert await kernel.names("") == [b"acme", b"new"]
    found = await kernel.operations.lookup(before, b"v")
    assert found.attributes.inode == kept["v"], "a directory stays at its commit"


async def test_one_content_under_two_names_is_one_inode(shelf: Shelf, kernel: Kernel) -> None:
    first = shelf.commit("acme/llama", {"a": b"same", "deep/b": b"same"})
    shelf.tag("acme/llama", "v1", first)
    inodes = {
        await kernel.inode(f"acme/{path}")
        for path in ("llama/a", "llama/deep/b", "llama@v1/a", "llama@main/a")
    }
    assert len(inodes) == 1
    folders = {await kernel.inode(f"acme/{name}") for name in ("llama", "llama@v1", "llama@main")}
    assert len(folders) == 3, "the kernel gives a directory one name only"


async def test_collisions_do_not_mix_files_up(shelf: Shelf) -> None:
    shelf.commit("acme/llama", {name: name.encode() for name in "abcdef"})
    kernel = Kernel(Operations(shelf, Look(0, 0, 0, 0), Inodes(first=lambda _digest: 9)))
    for name in "abcdef":
        assert await kernel.content(f"acme/llama/{name}") == name.encode()
    assert len({await kernel.inode(f"acme/llama/{name}") for name in "abcdef"}) == 6


async def test_a_read_of_the_index_that_hangs_can_be_given_up(
    shelf: Shelf, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else neither a killed program nor a second SIGTERM would end it."""
    begun, released = threading.Event(), threading.Event()

    def hang() -> list[str]:
        begun.set()
        released.wait(PATIENCE)
        return []

    monkeypatch.setattr(shelf.refs, "vendors", hang)

    async def give_up() -> None:
        await trio.to_thread.run_sync(begun.wait, PATIENCE)
        scope.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(give_up)
            await kernel.operations.opendir(ROOT)
        released.set()
    assert scope.cancelled_caught


async def test_an_inode_the_kernel_gave_back_is_stale(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    inode = await kernel.inode("acme/llama/empty")
    kernel.forget_all()
    with pytest.raises(OSError) as caught:
        kernel.operations.getattr(inode)
    assert caught.value.errno == errno.ESTALE


async def test_a_damaged_index_is_an_error_and_said_so(
    shelf: Shelf, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.commit("acme/llama", FILES)
    broken = shelf.objects.commit(shelf.commit("acme/llama", {"x": b"x"})).tree
    shelf.index.put_objects({broken: b"not an object"})
    with caplog.at_level(logging.ERROR), pytest.raises(OSError) as caught:
        await kernel.operations.lookup(await kernel.inode("acme/llama"), b"x", 4711)
    assert caught.value.errno == errno.EIO
    (record,) = caplog.records
    assert "acme/llama" in record.getMessage()
    assert "pid 4711" in record.getMessage()
    assert broken.hex()[:16] in record.getMessage()
