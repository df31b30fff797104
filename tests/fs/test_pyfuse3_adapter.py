"""The pyfuse3 adapter, unmounted: attributes as the kernel gets them, and errors as it allows."""

import errno
import os
import stat
from types import SimpleNamespace
from typing import Any, cast

import pytest

pyfuse3 = pytest.importorskip("pyfuse3")

from modelfloat.fuse.listings import LASTING, MOVING  # noqa: E402
from modelfloat.fuse.operations import Operations  # noqa: E402
from modelfloat.fuse.pyfuse3_binding import Adapter  # noqa: E402
from modelfloat.tests.support.shelf import ROOM, TIME_NS, Link, Shelf  # noqa: E402

CONTEXT = cast("Any", SimpleNamespace(pid=7, uid=0, gid=0, umask=0))


@pytest.fixture
def adapter(shelf: Shelf, operations: Operations) -> Adapter:
    shelf.commit("acme/llama", {"file": b"content", "link": Link(b"file")})
    return Adapter(operations)


async def walk(adapter: Adapter, *names: bytes) -> Any:
    inode = pyfuse3.ROOT_INODE
    for name in names:
        entry = await adapter.lookup(inode, name, CONTEXT)
        inode = entry.st_ino
    return entry


async def test_entries(adapter: Adapter) -> None:
    assert (await walk(adapter, b"acme", b"llama")).entry_timeout == MOVING
    entry = await walk(adapter, b"acme", b"llama", b"file")
    assert entry.entry_timeout == entry.attr_timeout == LASTING
    assert entry.st_mode == stat.S_IFREG | 0o444
    assert (entry.st_size, entry.st_nlink, entry.st_uid, entry.st_gid) == (7, 1, 1000, 1001)
    assert entry.st_mtime_ns == entry.st_ctime_ns == entry.st_atime_ns == TIME_NS
    again = await adapter.getattr(entry.st_ino, CONTEXT)
    assert (again.st_ino, again.st_mode) == (entry.st_ino, entry.st_mode)
    assert (
        await adapter.readlink((await walk(adapter, b"acme", b"llama", b"link")).st_ino, CONTEXT)
        == b"file"
    )


async def test_reading_keeps_pages(adapter: Adapter) -> None:
    inode = (await walk(adapter, b"acme", b"llama", b"file")).st_ino
    info = await adapter.open(inode, os.O_RDONLY, CONTEXT)
    assert info.keep_cache
    assert bytes(await adapter.read(info.fh, 2, 4096)) == b"ntent"
    await adapter.release(info.fh)


async def test_errors_are_numbers(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    inode = (await walk(adapter, b"acme", b"llama", b"file")).st_ino
    for request, number in (
        (adapter.lookup(pyfuse3.ROOT_INODE, b"none", CONTEXT), errno.ENOENT),
        (adapter.open(inode, os.O_RDWR, CONTEXT), errno.EROFS),
        (adapter.opendir(inode, CONTEXT), errno.ENOTDIR),
        (adapter.getattr(12345, CONTEXT), errno.ESTALE),
        (adapter.read(99, 0, 1), errno.EBADF),
        (adapter.getxattr(inode, b"user.none", CONTEXT), errno.ENODATA),
    ):
        with pytest.raises(pyfuse3.FUSEError) as caught:
            await request
        assert caught.value.errno == number
    assert caplog.records == []


async def test_a_mistake_of_ours_does_not_end_the_mount(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_operations: Operations, _inode: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Operations, "getattr", fail)
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await adapter.getattr(pyfuse3.ROOT_INODE, CONTEXT)
    assert caught.value.errno == errno.EIO
    assert "ZeroDivisionError" in caplog.text


async def test_forgetting_what_nobody_knows_is_no_error(adapter: Adapter) -> None:
    entry = await walk(adapter, b"acme")
    await adapter.forget([(entry.st_ino, 1), (entry.st_ino, 5), (pyfuse3.ROOT_INODE, 1)])
    with pytest.raises(pyfuse3.FUSEError):
        await adapter.getattr(entry.st_ino, CONTEXT)


async def test_statfs_and_extended_attributes(adapter: Adapter) -> None:
    answer = await adapter.statfs(CONTEXT)
    assert answer.f_namemax == 255
    assert answer.f_blocks * answer.f_frsize == ROOM
    assert answer.f_bavail * answer.f_frsize == answer.f_bfree * answer.f_bsize == ROOM // 4
    inode = (await walk(adapter, b"acme", b"llama", b"file")).st_ino
    assert b"user.modelfloat.blake3" in list(await adapter.listxattr(inode, CONTEXT))
