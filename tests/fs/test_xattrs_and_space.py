"""Extended attributes, and the space that `df` shows."""

import errno
import hashlib

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from modelfloat.cas.room import Room
from modelfloat.cid import cid_of, parse_cid
from modelfloat.errors import UnavailableError
from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.space import FRESH, Space
from modelfloat.fuse.xattrs import BLAKE3, CHUNKS, CID, COMMIT, SHA256
from modelfloat.ids import Inode
from modelfloat.tests.support.shelf import ROOM, Link, Shelf
from modelfloat.tests.support.walking import Kernel

TEXT = bytes(range(256)) * 5000
SPLIT = 1 << 20
"""Where the second chunk of TEXT begins."""
FILES = {"text": TEXT, "deep/link": Link(b"../text")}


async def of_chunk(kernel: Kernel, inode: Inode, offset: int) -> str:
    """The CID of the chunk that holds a byte."""
    return (await kernel.operations.getxattr(inode, CID + b".%d" % offset)).decode()


async def test_of_files(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES | {"empty": b""})
    text, operations = await kernel.inode("acme/llama/text"), kernel.operations
    assert sorted(await operations.listxattr(text)) == [BLAKE3, CHUNKS, CID]
    assert await operations.getxattr(text, BLAKE3) == blake3(TEXT).hexdigest().encode()
    assert await operations.getxattr(text, CHUNKS) == b"2"
    assert await operations.getxattr(text, CID) == str(cid_of(TEXT)).encode()
    for offset, part in ((0, TEXT[:SPLIT]), (SPLIT - 1, TEXT[:SPLIT]), (SPLIT, TEXT[SPLIT:])):
        assert cid_of(part).digest == parse_cid(await of_chunk(kernel, text, offset)).digest
    for name in (CID + b".99999999", CID + b".", CID + b".01", CID + b".x"):
        with pytest.raises(OSError):
            await operations.getxattr(text, name)
    empty = await kernel.inode("acme/llama/empty")
    assert await operations.getxattr(empty, CHUNKS) == b"0"


async def test_sha256_where_it_is_known(shelf: Shelf, kernel: Kernel) -> None:
    shelf.sha256 = True
    shelf.commit("acme/llama", FILES)
    text = await kernel.inode("acme/llama/text")
    assert sorted(await kernel.operations.listxattr(text)) == [BLAKE3, CHUNKS, CID, SHA256]
    digest = await kernel.operations.getxattr(text, SHA256)
    assert digest == hashlib.sha256(TEXT).hexdigest().encode()


async def test_of_folders(shelf: Shelf, kernel: Kernel) -> None:
    commit = shelf.commit("acme/llama", FILES)
    for path in ("acme/llama", "acme/llama/deep"):
        inode = await kernel.inode(path)
        assert await kernel.operations.listxattr(inode) == [COMMIT]
        assert await kernel.operations.getxattr(inode, COMMIT) == commit.hex().encode()
    for path in ("", "acme", "acme/llama/deep/link"):
        assert await kernel.operations.listxattr(await kernel.inode(path)) == []


async def test_what_is_not_there(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    text, deep = await kernel.inode("acme/llama/text"), await kernel.inode("acme/llama/deep")
    for inode, name in (
        (text, COMMIT),
        (text, SHA256),
        (text, b"security.capability"),
        (text, b"user.modelfloat.none"),
        (deep, BLAKE3),
        (deep, CHUNKS),
        (ROOT, b"user.x"),
    ):
        with pytest.raises(OSError) as caught:
            await kernel.operations.getxattr(inode, name)
        assert caught.value.errno == errno.ENODATA


async def test_space_is_asked_for_once_a_while(
    shelf: Shelf, kernel: Kernel, autojump_clock: MockClock
) -> None:
    answers: list[Room] = []

    async def ask() -> None:
        answers.append(await kernel.operations.statfs())

    for rounds in (1, 2):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert shelf.asked_for_room == rounds
        await trio.sleep(FRESH + 1)
    assert answers == [Room(ROOM, ROOM // 4)] * 10


async def test_space_that_cannot_be_told_is_what_it_was(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    fails = False

    async def ask() -> Room:
        await trio.lowlevel.checkpoint()
        if fails:
            raise UnavailableError("d0 does not answer")
        return Room(10, 5)

    space = Space(ask)
    assert await space.statfs() == Room(10, 5)
    fails = True
    await trio.sleep(FRESH + 1)
    assert await space.statfs() == Room(10, 5)
    assert await space.statfs() == Room(10, 5)
    assert len(caplog.records) == 1
