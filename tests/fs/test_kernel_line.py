"""What must never happen to a thread that reads requests: to end, to leave somebody waiting, to
write to a descriptor that is not its own any more."""

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
import trio

from modelfloat.cas.read.claims import LOADERS
from modelfloat.fuse import devfuse, kernel_binding, kernel_line
from modelfloat.fuse.kernel_binding import KernelBinding, KernelSession
from modelfloat.fuse.kernel_line import MOST_PARTS, Line
from modelfloat.fuse.kernel_relief import Relief
from modelfloat.fuse.operations import Operations
from modelfloat.fuse.protocol import LARGEST, Opcode
from modelfloat.tests.support.fuserequests import parse_reply, read, request
from modelfloat.tests.support.kernelcaller import calling
from modelfloat.tests.support.shelf import Shelf


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, int]]:
    """The kernel's end of a line, and a descriptor for the line."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.settimeout(60)
        yield ours, os.dup(theirs.fileno())


async def test_an_answer_in_very_many_parts(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be cut into tiny chunks; writev(2) takes 1,024 parts."""
    parts = [memoryview(b"ab")] * 3000
    monkeypatch.setattr(operations, "read_at_once", lambda *_: parts)
    async with calling(operations) as kernel:
        assert await kernel.ask(Opcode.READ, 1, read(1, 0, 6000)) == (0, b"ab" * 3000)
    assert MOST_PARTS < 1024


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), MemoryError(), ValueError("no")])
async def test_what_fails_in_a_thread_is_an_answer(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    async with calling(operations) as kernel:
        with monkeypatch.context() as patch:
            patch.setattr(operations, "read_at_once", fail)
            for _ in range(5):  # more often than there are threads
                assert await kernel.ask(Opcode.READ, 1, read(1, 0, 10)) == (errno.EIO, b"")
        assert (await kernel.ask(Opcode.STATFS))[0] == 0


@pytest.mark.parametrize("lines", [LOADERS, LOADERS + 1])
async def test_a_thread_loads_ahead_when_it_has_replied_unless_all_might(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, lines: int
) -> None:
    asked = []

    def go_on(handle: int, _soon: object) -> None:
        asked.append(handle)
        raise RuntimeError("a mistake")

    monkeypatch.setattr(operations, "read_at_once", lambda *_: [b"there"])
    monkeypatch.setattr(operations, "go_on", go_on)
    async with calling(operations, lines) as kernel:
        for _ in range(5):  # more often than there are threads
            assert await kernel.ask(Opcode.READ, 7, read(7, 0, 5)) == (0, b"there")
        assert (await kernel.ask(Opcode.STATFS))[0] == 0
    assert asked == ([7] * 5 if lines > LOADERS else [])


async def test_what_a_thread_hangs_with_is_answered_in_its_place(
    operations: Operations, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend may hang for ever; who reads would, and could not even be killed."""
    hanging, free = threading.Event(), threading.Event()

    def hang(*_: object) -> list[bytes]:
        hanging.set()
        assert free.wait(60)
        return [b"late"]

    monkeypatch.setattr(kernel_binding, "HANGS", 0.01)
    monkeypatch.setattr(operations, "read_at_once", hang)
    shelf.commit("acme/llama", {"file": b"content"})
    async with calling(operations) as kernel:
        handle = await kernel.open(b"acme", b"llama", b"file")
        try:
            assert await kernel.ask(Opcode.READ, 1, read(handle, 0, 7)) == (0, b"content")
            assert hanging.is_set()
        finally:
            free.set()
        # The kernel drops this one: the request was answered.
        assert (await kernel.hear())[1:] == (0, b"late")
        assert (await kernel.ask(Opcode.STATFS))[0] == 0


def test_what_is_overdue_is_told_once() -> None:
    one, two = HoldsRequest(), HoldsRequest()
    relief = Relief([one, two])
    assert list(relief.overdue()) == []
    one.held, two.held = b"first", b"second"
    assert list(relief.overdue()) == []
    two.held = bytes(bytearray(b"second"))  # another one, however alike
    assert list(relief.overdue()) == [(0, b"first")]
    assert list(relief.overdue()) == [(1, b"second")]
    one.held = None
    assert list(relief.overdue()) == []


class HoldsRequest:
    def __init__(self) -> None:
        self.held: bytes | None = None


async def test_an_answer_that_makes_no_sense(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(*_: object) -> object:
        return 5

    monkeypatch.setattr(operations, "read_at_once", lambda *_: [None])
    async with calling(operations) as kernel:
        assert await kernel.ask(Opcode.READ, 1, read(1, 0, 10)) == (errno.EIO, b"")
        monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
        monkeypatch.setattr(operations, "read", nonsense)
        assert await kernel.ask(Opcode.READ, 1, read(1, 0, 10)) == (errno.EIO, b"")
        assert (await kernel.ask(Opcode.STATFS))[0] == 0


async def test_a_reply_that_is_not_taken(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel keeps such a request: without an errno its program would wait for ever."""
    real = os.writev

    def refuse(device: int, parts: list[bytes]) -> int:
        if len(parts) > 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        return real(device, parts)

    monkeypatch.setattr(kernel_line.os, "writev", refuse)
    async with calling(operations) as kernel:
        assert await kernel.ask(Opcode.GETATTR, 1, bytes(16)) == (errno.EIO, b"")
    assert "was not taken" in caplog.text


async def test_a_request_for_more_than_was_agreed_on(operations: Operations) -> None:
    async with calling(operations) as kernel:
        for size in (LARGEST + 1, 1 << 31, (1 << 32) - 1):
            assert await kernel.ask(Opcode.READ, 1, read(1, 0, size)) == (errno.EIO, b"")
        for offset in (1 << 63, (1 << 64) - 1):
            assert (await kernel.ask(Opcode.READ, 1, read(1, offset, 10)))[0] == errno.EBADF


async def test_offsets_beyond_everything(shelf: Shelf, operations: Operations) -> None:
    shelf.commit("acme/llama", {"file": b"content"})
    async with calling(operations) as kernel:
        handle = await kernel.open(b"acme", b"llama", b"file")
        folder = struct.unpack_from("=Q", (await kernel.ask(Opcode.OPENDIR, 1, bytes(8)))[1])[0]
        for offset in (7, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1):
            most = min(offset, (1 << 63) - 1)  # so far the kernel lets a file be
            assert await kernel.ask(Opcode.READ, 1, read(handle, most, 10)) == (0, b"")
            for opcode in (Opcode.READDIR, Opcode.READDIRPLUS):
                assert await kernel.ask(opcode, 1, read(folder, offset, 4096)) == (0, b"")


async def test_reads_of_the_device_that_fail(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The kernel answers such a request itself; the next one is read as ever."""
    real, failures = os.readv, [errno.ENOMEM, errno.ENOENT, errno.EIO, errno.EAGAIN]

    def fail(device: int, parts: list[bytearray]) -> int:
        if failures:
            raise OSError(failures.pop(), "it fails")
        return real(device, parts)

    monkeypatch.setattr(kernel_line, "_PAUSE", 0)
    monkeypatch.setattr(kernel_line.os, "readv", fail)
    async with calling(operations) as kernel:
        assert (await kernel.ask(Opcode.STATFS))[0] == 0
    assert caplog.text.count("a request cannot be read") == 2


async def test_reads_of_the_device_that_only_fail(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The mount ends, and says so: it is not left there with nobody behind it."""

    def fail(_device: int, _parts: list[bytearray]) -> int:
        raise OSError(errno.EPERM, "it is forbidden")

    monkeypatch.setattr(kernel_line, "_PAUSE", 0)
    monkeypatch.setattr(kernel_line.os, "readv", fail)
    session = KernelSession(operations, [os.open(os.devnull, os.O_RDWR)], "/nowhere", None)
    await session.run()
    session.close()
    assert "cannot be served any more" in caplog.text


class Nobody:
    """A receiver that gets nothing."""

    stopping = False

    def read_at_once(self, *_: object) -> None: ...

    def replied(self, *_: object) -> None: ...

    def hand(self, *_: object) -> None: ...

    def ended(self) -> None: ...


def test_a_reply_after_the_end_goes_nowhere(ends: tuple[socket.socket, int]) -> None:
    """The descriptor's number may be another file's by then."""
    _, device = ends
    line = Line(device, Nobody())
    line.close()
    reused = os.memfd_create("another file")
    os.dup2(reused, device)
    line.reply(2, [b"late"])
    line.refuse(2, errno.EIO)
    assert os.fstat(reused).st_size == 0
    for fd in {device, reused}:
        os.close(fd)


def test_a_line_that_waits_keeps_its_descriptor(ends: tuple[socket.socket, int]) -> None:
    ours, device = ends
    line = Line(device, Nobody())
    line.thread.start()
    line.close()
    assert os.fstat(device)
    ours.shutdown(socket.SHUT_RDWR)
    line.thread.join(60)
    line.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(device)


# The end


async def test_a_session_that_stops_refuses_without_the_loop(operations: Operations) -> None:
    """Unmounting by a program waits for its questions about the mount while the loop waits."""
    async with calling(operations) as kernel:
        assert (await kernel.ask(Opcode.STATFS))[0] == 0
        kernel.session.stop()
        for unique in (10, 12, 14, 16):  # more than there are threads
            kernel.end.send(request(Opcode.GETATTR, 1, bytes(16), unique=unique))
            assert parse_reply(kernel.end.recv(1 << 20)) == (unique, errno.ENOTCONN, b"")
        kernel.end.send(request(Opcode.FORGET, 9, struct.pack("=Q", 1)))
        kernel.end.send(request(Opcode.STATFS, unique=18))
        assert parse_reply(kernel.end.recv(1 << 20)) == (18, errno.ENOTCONN, b"")


async def test_requests_that_are_dropped_are_answered(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when SIGTERM comes twice, or a backend hangs longer than a mount waits at its end."""
    started = trio.Event()

    async def hang(*_: object) -> None:
        started.set()
        await trio.sleep_forever()

    monkeypatch.setattr(operations, "read", hang)
    monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
    async with calling(operations) as kernel:
        await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=50))
        await started.wait()
        assert kernel.session._nursery is not None
        kernel.session._nursery.cancel_scope.cancel()
        assert await kernel.hear() == (50, errno.ENOTCONN, b"")


async def test_nothing_is_waited_for_when_nobody_is_there(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mount is gone, so a read that hangs must not keep its daemon."""
    started, ended = trio.Event(), trio.Event()

    async def hang(*_: object) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    monkeypatch.setattr(operations, "read", hang)
    monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
    async with calling(operations) as kernel:
        await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=50))
        await started.wait()
    assert ended.is_set()


async def test_a_number_that_comes_twice(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = trio.Event()

    async def wait(*_: object) -> bytes:
        await release.wait()
        return b"late"

    monkeypatch.setattr(operations, "read", wait)
    monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
    async with calling(operations) as kernel:
        for _ in range(2):
            await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=50))
        assert (await kernel.ask(Opcode.STATFS))[0] == 0
        release.set()
        assert [await kernel.hear() for _ in range(2)] == [(50, 0, b"late")] * 2


def test_a_mount_that_fails_halfway_leaves_nothing(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, detached = os.open(os.devnull, os.O_RDWR), []

    def fail(_path: str) -> None:
        raise PermissionError(errno.EACCES, "no /proc")

    monkeypatch.setattr(devfuse, "open_mount", lambda *_: device)
    monkeypatch.setattr(devfuse, "abandon", detached.append)
    monkeypatch.setattr(kernel_binding, "mount_at", fail)
    with pytest.raises(PermissionError):
        KernelBinding().mount(operations, "/nowhere", frozenset())
    assert detached == ["/nowhere"]
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(device)
