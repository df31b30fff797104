"""Open files and directories: what they pin, share, count and refuse."""

import errno
import os
import threading

import pytest
import trio
from trio.testing import MockClock

from modelfloat.errors import ChunkDamagedError, UnavailableError
from modelfloat.fuse.handles import Handle
from modelfloat.fuse.inodes import ROOT, Inodes
from modelfloat.fuse.operations import WINDOW, Operations
from modelfloat.ids import ObjectId
from modelfloat.tests.support.shelf import KnownFile, Link, Shelf
from modelfloat.tests.support.walking import LOOK, Kernel

TEXT = bytes(range(256)) * 40
FILES = {"text": TEXT, "empty": b"", "deep/link": Link(b"../text")}


def refused(caught: pytest.ExceptionInfo[OSError]) -> int | None:
    """The number that a program would see."""
    return caught.value.errno


async def test_reads(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    assert await kernel.content("acme/llama/text") == TEXT
    assert await kernel.content("acme/llama/text", 1000, 24) == TEXT[1000:1024]
    assert await kernel.content("acme/llama/text", len(TEXT) - 3, 4096) == TEXT[-3:]
    assert await kernel.content("acme/llama/text", len(TEXT), 4096) == b""
    assert await kernel.content("acme/llama/text", 1 << 40, 4096) == b""
    assert await kernel.content("acme/llama/empty") == b""


async def test_requests_are_counted(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    file = await kernel.operations.open(await kernel.inode("acme/llama/text"), 0)
    assert kernel.operations.read_at_once(file, 0, 1000, lambda _job: None) is not None
    assert kernel.operations.read_at_once(file, 0, 1 << 20, lambda _job: None) is not None
    await kernel.operations.read(file, len(TEXT) - 1, 5)
    shelf.lose(TEXT)
    with pytest.raises(OSError) as caught:
        await kernel.operations.read(file, 0, 5)
    assert refused(caught) == errno.EIO
    counters = shelf.counters
    assert (counters.opened, counters.passed_through) == (1, 0)
    assert (counters.requests, counters.at_once, counters.failed) == (3, 2, 1)
    assert counters.served == 1000 + len(TEXT) + 1
    assert counters.latency.count == 3


async def test_a_read_never_waits_for_ever(
    shelf: Shelf,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever hangs below it, and be it a mistake of ours."""

    async def hang(*_: object) -> bytes:
        await trio.sleep_forever()
        return b""

    shelf.commit("acme/llama", FILES)
    file = await kernel.operations.open(await kernel.inode("acme/llama/text"), 0)
    monkeypatch.setattr(KnownFile, "read", hang)
    with pytest.raises(OSError) as caught:
        await kernel.operations.read(file, 5, 10)
    assert refused(caught) == errno.EIO
    assert "nothing came for offset 5" in caplog.text
    assert shelf.counters.failed == 1


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND]
)
async def test_nothing_can_be_opened_for_writing(shelf: Shelf, kernel: Kernel, flags: int) -> None:
    shelf.commit("acme/llama", FILES)
    with pytest.raises(OSError) as caught:
        await kernel.operations.open(await kernel.inode("acme/llama/text"), flags)
    assert refused(caught) == errno.EROFS


async def test_only_files_open_and_only_links_read_as_links(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    for path, number in (("acme", errno.EISDIR), ("acme/llama/deep/link", errno.ELOOP)):
        with pytest.raises(OSError) as caught:
            await kernel.operations.open(await kernel.inode(path), os.O_RDONLY)
        assert refused(caught) == number
    with pytest.raises(OSError) as caught:
        kernel.operations.readlink(await kernel.inode("acme/llama/text"))
    assert refused(caught) == errno.EINVAL


async def test_handles_end(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    file = await kernel.operations.open(await kernel.inode("acme/llama/text"), 0)
    folder = await kernel.operations.opendir(ROOT)
    assert file != Handle(0)
    kernel.operations.release(file)
    kernel.operations.releasedir(folder)
    with pytest.raises(OSError) as caught:
        await kernel.operations.read(file, 0, 1)
    assert refused(caught) == errno.EBADF
    with pytest.raises(OSError) as caught:
        await kernel.operations.readdir(folder, 0)
    assert refused(caught) == errno.EBADF
    for close in (kernel.operations.release, kernel.operations.releasedir):
        with pytest.raises(OSError) as caught:
            close(file)
        assert refused(caught) == errno.EBADF


async def test_handles_of_one_file_share_a_reader(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    inode = await kernel.inode("acme/llama/text")
    handles: list[Handle] = []

    async def open_it() -> None:
        handles.append(await kernel.operations.open(inode, os.O_RDONLY))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(open_it)
    handles.append(await kernel.operations.open(inode, os.O_RDONLY))
    (reader,) = shelf.reader.opened
    for handle in handles:
        assert not reader.closed
        assert bytes(await kernel.operations.read(handle, 0, 4)) == TEXT[:4]
        kernel.operations.release(handle)
    assert reader.closed
    assert reader.reads == 6
    await kernel.content("acme/llama/text")
    assert len(shelf.reader.opened) == 2


async def test_an_open_file_stays_when_its_branch_moves(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", {"v": b"old"})
    handle = await kernel.operations.open(await kernel.inode("acme/llama/v"), os.O_RDONLY)
    shelf.commit("acme/llama", {"other": b"new"})
    kernel.forget_all()
    assert await kernel.missing("acme/llama/v")
    assert bytes(await kernel.operations.read(handle, 0, 10)) == b"old"


async def test_an_open_directory_stays_when_its_branch_moves(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", {f"{i:03}": b"x" for i in range(20)})
    repository = await kernel.operations.opendir(await kernel.inode("acme/llama"))
    vendor = await kernel.operations.opendir(await kernel.inode("acme"))
    first = await kernel.part(repository, 0, 5)
    shelf.commit("acme/llama", {f"{i:03}x": b"x" for i in range(30)})
    shelf.commit("acme/alpaca", FILES)
    rest = await kernel.part(repository, first[-1][1], 100)
    assert [name for name, _ in first + rest] == [b"%03d" % i for i in range(20)]
    assert [name for name, _ in await kernel.part(vendor, 0, 9)] == [b"llama"]
    assert await kernel.names("acme") == [b"alpaca", b"llama"]


async def test_listings_longer_than_a_window_from_anywhere(shelf: Shelf, kernel: Kernel) -> None:
    count = 2 * WINDOW + 10
    names = [b"%05d" % i for i in range(count)]
    shelf.commit("acme/llama", {name.decode(): b"x" for name in names})
    assert await kernel.names("acme/llama", room=100) == names
    handle = await kernel.operations.opendir(await kernel.inode("acme/llama"))
    for offset in (0, 1, WINDOW - 1, WINDOW, 3, 2 * WINDOW, count - 1, WINDOW + 1, 0):
        part = await kernel.part(handle, offset, 3)
        assert part == [(names[i], i + 1) for i in range(offset, offset + len(part))]
        assert part
    assert await kernel.part(handle, count, 3) == []


async def test_names_the_kernel_would_choke_on_are_left_out(
    shelf: Shelf, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"a": b"1", "b" * 256: b"2", "c" * 255: b"3"}
    shelf.commit("acme/llama", files)
    assert await kernel.names("acme/llama") == [b"a", b"c" * 255]
    assert "256 bytes" in caplog.text


async def test_only_entries_that_were_handed_over_count(shelf: Shelf) -> None:
    shelf.commit("acme/llama", {f"{i}": str(i).encode() for i in range(9)})
    inodes = Inodes()
    kernel = Kernel(Operations(shelf, LOOK, inodes))
    handle = await kernel.operations.opendir(await kernel.inode("acme/llama"))
    assert len(inodes) == 2
    await kernel.part(handle, 0, 4)
    assert len(inodes) == 6
    await kernel.names("acme/llama")
    await kernel.names("acme/llama")
    assert len(inodes) == 11
    kernel.forget_all()
    assert len(inodes) == 0


async def test_lost_bytes_are_an_error_that_is_told_once(
    shelf: Shelf, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.commit("acme/llama", FILES)
    handle = await kernel.operations.open(await kernel.inode("acme/llama/text"), 0, 4711)
    shelf.lose(TEXT)
    for _ in range(3):
        with pytest.raises(OSError) as caught:
            await kernel.operations.read(handle, 0, 10)
        assert refused(caught) == errno.EIO
    (line,) = [record.getMessage() for record in caplog.records]
    assert "acme/llama/text" in line
    assert "pid 4711" in line
    assert "is gone" in line


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("d0 does not answer", backend="d0"),
        ExceptionGroup("several", [ChunkDamagedError("chunk 12ab is damaged")]),
        ZeroDivisionError("a mistake of ours"),
    ],
)
async def test_every_failure_of_a_read_is_answered(
    shelf: Shelf,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    async def fail(_file: KnownFile, _offset: int, _size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        raise error

    shelf.commit("acme/llama", FILES)
    monkeypatch.setattr(KnownFile, "read", fail)
    with pytest.raises(OSError) as caught:
        await kernel.content("acme/llama/text")
    assert refused(caught) == errno.EIO
    assert len(caplog.records) == 1


async def test_a_short_answer_is_never_filled_up_with_zeros(
    shelf: Shelf, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def read_less(_file: KnownFile, _offset: int, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"x" * (size - 1)

    shelf.commit("acme/llama", FILES)
    monkeypatch.setattr(KnownFile, "read", read_less)
    with pytest.raises(OSError) as caught:
        await kernel.content("acme/llama/text")
    assert refused(caught) == errno.EIO
    assert "came back" in caplog.text


async def test_a_file_whose_sizes_disagree_does_not_open(
    shelf: Shelf, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tree = shelf.objects.commit(shelf.commit("acme/llama", FILES)).tree
    other = shelf.objects.find(tree, (b"empty",))
    assert other is not None
    manifest = shelf.objects.manifest(other.object)
    monkeypatch.setattr(shelf.objects, "manifest", lambda _id: manifest)
    with pytest.raises(OSError) as caught:
        await kernel.content("acme/llama/text")
    assert refused(caught) == errno.EIO
    assert f"{len(TEXT)} bytes" in caplog.text


async def test_what_is_open_and_what_failed_is_known(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES | {"other": b"other"})
    operations, text = kernel.operations, await kernel.inode("acme/llama/text")
    assert operations.open_files() == ()
    handles = [await operations.open(text, 0, pid) for pid in (1 << 30, 0, 1 << 29, 1 << 30)]
    (state,) = operations.open_files()
    assert operations.open_count() == 1
    assert (state.name, state.pids) == ("acme/llama/text", (1 << 29, 1 << 30))
    assert shelf.objects.manifest(ObjectId(bytes.fromhex(state.manifest))).size == len(TEXT)
    shelf.lose(TEXT)
    with pytest.raises(OSError):
        await operations.read(handles[0], 0, 10)
    (error,) = operations.last_errors()
    assert (error.file, error.pid) == ("acme/llama/text", 1 << 30)
    assert "is gone" in error.cause
    for handle in handles:
        operations.release(handle)
    assert operations.open_files() == ()


async def test_a_thread_is_told_as_its_process(shelf: Shelf, kernel: Kernel) -> None:
    shelf.commit("acme/llama", FILES)
    inode = await kernel.inode("acme/llama/text")
    thread = await trio.to_thread.run_sync(threading.get_native_id)
    assert thread != os.getpid()
    await kernel.operations.open(inode, 0, thread)
    (state,) = kernel.operations.open_files()
    assert state.pids == (os.getpid(),)
