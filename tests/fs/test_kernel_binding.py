"""The binding of our own, unmounted: its answers to each request, to signals, and at the end."""

import errno
import random
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from modelfloat.fuse import kernel_answers, kernel_binding, passthrough, processes, protocol
from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.listings import LASTING, MOVING
from modelfloat.fuse.operations import Operations
from modelfloat.fuse.protocol import CHANGES, Opcode
from modelfloat.tests.support.fuserequests import CAPTURED, parse_reply, read, request
from modelfloat.tests.support.kernelcaller import Caller, calling
from modelfloat.tests.support.shelf import CHUNK, Link, Shelf
from modelfloat.tests.support.sources import noise

BIG = noise(3, 2 * CHUNK + 5)
CONTENT = {"file": b"content", "link": Link(b"file"), "big": BIG, "lost": b"lost"}


@pytest.fixture
def filled(shelf: Shelf) -> Shelf:
    shelf.commit("acme/llama", CONTENT)
    shelf.lose(b"lost")
    return shelf


FILE = (b"acme", b"llama", b"file")


@pytest.mark.parametrize("uid", [0, 1000])
async def test_init(operations: Operations, monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    monkeypatch.setattr(passthrough.os, "geteuid", lambda: uid)
    async with calling(operations) as kernel:
        await kernel.send(CAPTURED["INIT"])
        unique, number, data = await kernel.hear()
        assert (unique, number) == (2, 0)
        features = int(kernel_answers.FEATURES) | (0 if uid else 1 << 30)
        wanted = (7, 40, protocol.LARGEST, features, 64, 48, 4096, 1, 256, 0)
        rest = (0, 0) if uid else (1 << 5, 1)
        assert struct.unpack("=IIIIHHIIHHII24x", data) == wanted + rest
        assert ("needs root" in kernel.session.note) == bool(uid)
        hello = struct.pack("=IIII", 7, 23, 4096, 1)
        number, data = await kernel.ask(Opcode.INIT, 0, hello)
        assert struct.unpack_from("=IIII", data) == (7, 23, protocol.LARGEST, 1)
        assert "needs " in kernel.session.note


async def test_of_passthrough_nothing_is_told_where_nothing_is_cached(
    operations: Operations, shelf: Shelf
) -> None:
    async with calling(operations) as kernel:
        await kernel.send(CAPTURED["INIT"])
        await kernel.hear()
        assert "disk cache" in kernel.session.note
        shelf.caches = False
        assert kernel.session.note == ""


@pytest.mark.parametrize(("major", "minor", "number"), [(7, 12, errno.EPROTO), (8, 0, 0)])
async def test_init_of_other_versions(
    operations: Operations, major: int, minor: int, number: int
) -> None:
    async with calling(operations) as kernel:
        hello = struct.pack("=IIII", major, minor, 4096, 1)
        answer = await kernel.ask(Opcode.INIT, 0, hello)
        assert answer[0] == number
        if not number:
            assert struct.unpack_from("=II", answer[1]) == (7, 40)


@pytest.mark.usefixtures("filled")
async def test_names_and_attributes(operations: Operations) -> None:
    async with calling(operations) as kernel:
        number, data = await kernel.ask(Opcode.LOOKUP, ROOT, b"acme\0")
        assert struct.unpack_from("=QQQQ", data)[2:] == (int(MOVING), int(LASTING))
        inode = await kernel.walk(*FILE)
        number, data = await kernel.ask(Opcode.GETATTR, inode, bytes(16))
        assert (number, struct.unpack_from("=QQ", data, 16)) == (0, (inode, 7))
        link = await kernel.walk(b"acme", b"llama", b"link")
        assert await kernel.ask(Opcode.READLINK, link) == (0, b"file")
        assert await kernel.ask(Opcode.LOOKUP, ROOT, b"none\0") == (errno.ENOENT, b"")
        assert await kernel.ask(Opcode.GETATTR, 12345, bytes(16)) == (errno.ESTALE, b"")


@pytest.mark.usefixtures("filled")
async def test_reading(operations: Operations) -> None:
    async with calling(operations) as kernel:
        handle = await kernel.open(b"acme", b"llama", b"big")
        size = 100_000
        for offset in (0, 4096, CHUNK // 2 - 1, CHUNK - 5, 2 * CHUNK, len(BIG) - 1, len(BIG)):
            answer = await kernel.ask(Opcode.READ, 1, read(handle, offset, size))
            assert answer == (0, BIG[offset : offset + size])
        assert await kernel.ask(Opcode.READ, 1, read(99, 0, 1)) == (errno.EBADF, b"")
        lost = await kernel.open(b"acme", b"llama", b"lost")
        assert await kernel.ask(Opcode.READ, 1, read(lost, 0, 10)) == (errno.EIO, b"")
        release = struct.pack("=QIIQ", handle, 0, 0, 0)
        assert await kernel.ask(Opcode.RELEASE, 1, release) == (0, b"")
        assert (await kernel.ask(Opcode.READ, 1, read(handle, 0, 1)))[0] == errno.EBADF


@pytest.mark.usefixtures("filled")
async def test_what_is_in_memory_is_answered_without_the_event_loop(
    operations: Operations,
) -> None:
    async with calling(operations) as kernel:
        handle = await kernel.open(b"acme", b"llama", b"big")
        # Nothing else can run in this loop before the reply is there.
        data = request(Opcode.READ, 1, read(handle, 10, 5000), unique=100)
        kernel.end.send(data)
        assert parse_reply(kernel.end.recv(1 << 20)) == (100, 0, BIG[10:5010])


def names(data: bytes, skip: int) -> list[bytes]:
    """The names in an answer to READDIR, or READDIRPLUS with its entries before them."""
    found = []
    while data:
        _, _, length, _ = struct.unpack_from("=QQII", data, skip)
        found.append(data[skip + 24 : skip + 24 + length])
        data = data[skip + 24 + length + -length % 8 :]
    return found


@pytest.mark.parametrize(("opcode", "skip"), [(Opcode.READDIR, 0), (Opcode.READDIRPLUS, 128)])
@pytest.mark.usefixtures("filled")
async def test_listing(operations: Operations, opcode: int, skip: int) -> None:
    async with calling(operations) as kernel:
        folder = await kernel.walk(b"acme", b"llama")
        known = len(operations._requests.inodes)
        _, data = await kernel.ask(Opcode.OPENDIR, folder, bytes(8))
        (handle,) = struct.unpack_from("=Q", data)
        seen: list[bytes] = []
        room = skip + 40  # one entry, not two
        while data := (await kernel.ask(opcode, folder, read(handle, len(seen), room)))[1]:
            assert len(data) <= room
            seen += names(data, skip)
        assert seen == sorted(name.encode() for name in CONTENT)
        assert len(operations._requests.inodes) - known == (len(seen) if skip else 0)
        release = struct.pack("=QIIQ", handle, 0, 0, 0)
        assert await kernel.ask(Opcode.RELEASEDIR, folder, release) == (0, b"")


@pytest.mark.usefixtures("filled")
async def test_extended_attributes_and_space(operations: Operations) -> None:
    async with calling(operations) as kernel:
        inode = await kernel.walk(*FILE)
        name = b"user.modelfloat.chunks\0"

        async def ask(opcode: int, room: int, rest: bytes = b"") -> tuple[int, bytes]:
            return await kernel.ask(opcode, inode, struct.pack("=II", room, 0) + rest)

        assert await ask(Opcode.GETXATTR, 100, name) == (0, b"1")
        assert await ask(Opcode.GETXATTR, 0, name) == (0, struct.pack("=II", 1, 0))
        assert await ask(Opcode.GETXATTR, 9, b"user.none\0") == (errno.ENODATA, b"")
        number, data = await ask(Opcode.LISTXATTR, 1000)
        assert name in data
        assert await ask(Opcode.LISTXATTR, 0) == (0, struct.pack("=II", len(data), 0))
        assert await ask(Opcode.LISTXATTR, len(data) - 1) == (errno.ERANGE, b"")
        number, data = await kernel.ask(Opcode.STATFS)
        assert (number, len(data)) == (0, 80)


@pytest.mark.usefixtures("filled")
async def test_forgetting(operations: Operations) -> None:
    async with calling(operations) as kernel:
        first, second = await kernel.walk(*FILE), await kernel.walk(b"acme", b"llama", b"big")
        await kernel.send(request(Opcode.FORGET, first, struct.pack("=Q", 1)))
        pairs = struct.pack("=QQQQ", second, 1, 12345, 1)
        await kernel.send(request(Opcode.BATCH_FORGET, 0, struct.pack("=II", 2, 0) + pairs))
        for inode in (first, second):  # neither has got a reply, so these get theirs
            assert await kernel.ask(Opcode.GETATTR, inode, bytes(16)) == (errno.ESTALE, b"")


async def test_what_is_unknown_and_what_changes_something(operations: Operations) -> None:
    async with calling(operations) as kernel:
        for opcode in (7, 20, 25, 30, 34, 37, 39, 40, 46, 48, 49, 50, 52, 999, 4096):
            assert await kernel.ask(opcode, 1, bytes(64)) == (errno.ENOSYS, b"")
        for opcode in CHANGES:
            assert await kernel.ask(opcode, 1, bytes(64)) == (errno.EROFS, b"")
        assert await kernel.ask(Opcode.DESTROY) == (0, b"")


@pytest.mark.usefixtures("filled")
async def test_malformed_requests_are_refused(
    operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    async with calling(operations) as kernel:
        for opcode in (Opcode.LOOKUP, Opcode.OPEN, Opcode.READ, Opcode.GETXATTR, Opcode.INIT):
            assert await kernel.ask(opcode, 1, b"\1\2\3") == (errno.EIO, b"")
        short = request(Opcode.GETATTR, 1, bytes(16), unique=7)
        await kernel.send(short[:-3])
        assert await kernel.hear() == (7, errno.EIO, b"")
        for wrong in (b"\1", CAPTURED["FORGET"][:-1], request(Opcode.INTERRUPT)):
            await kernel.send(wrong)
        for opcode in (Opcode.FORGET, Opcode.BATCH_FORGET):
            await kernel.send(request(opcode, 1, b"\1"))
        assert await kernel.walk(*FILE)
    assert "a request is not understood" in caplog.text


async def test_a_mistake_of_ours_does_not_end_the_mount(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_operations: Operations, _inode: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Operations, "getattr", fail)
    async with calling(operations) as kernel:
        assert await kernel.ask(Opcode.GETATTR, 1, bytes(16)) == (errno.EIO, b"")
        assert await kernel.ask(Opcode.LOOKUP, 1, b"none\0") == (errno.ENOENT, b"")
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.usefixtures("filled")
@pytest.mark.filterwarnings("default")
async def test_changed_requests(operations: Operations) -> None:
    """Whatever comes, it gets one reply with its number, and the mount goes on."""
    chance = random.Random(5)
    whole = list(CAPTURED.values())
    async with calling(operations) as kernel:
        for unique in range(1000, 1400):
            data = bytearray(chance.choice(whole))
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0xFF))
            size = chance.choice((len(data), chance.randrange(40, len(data) + 1)))
            data[:4] = struct.pack("=I", size)
            data[8:16] = struct.pack("=Q", unique)
            await kernel.send(bytes(data[:size]))
            if int.from_bytes(data[4:8], sys.byteorder) not in protocol.UNANSWERED:
                assert (await kernel.hear())[0] == unique
        assert await kernel.walk(*FILE)


# Signals and the end


@asynccontextmanager
async def one_read_under_way(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Caller, trio.Event]]:
    """A READ with number 50 of thread 77 that waits until the event is set."""
    started, released = trio.Event(), trio.Event()

    async def wait(*_: object) -> bytes:
        started.set()
        await released.wait()
        return b"late"

    monkeypatch.setattr(operations, "read", wait)
    monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
    async with calling(operations) as kernel:
        await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=50, pid=77))
        await started.wait()
        yield kernel, released


async def interrupt(kernel: Caller) -> None:
    await kernel.send(request(Opcode.INTERRUPT, 0, struct.pack("=Q", 50), unique=51))


async def test_who_is_killed_does_not_wait(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(kernel_binding, "is_dying", lambda pid: asked.append(pid) or True)
    async with one_read_under_way(operations, monkeypatch) as (kernel, _):
        await interrupt(kernel)
        assert await kernel.hear() == (50, errno.EINTR, b"")
    assert asked == [77]


async def test_who_gets_another_signal_waits(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = trio.Event()
    monkeypatch.setattr(kernel_binding, "is_dying", lambda _: asked.set())
    async with one_read_under_way(operations, monkeypatch) as (kernel, released):
        await interrupt(kernel)
        await asked.wait()
        released.set()
        assert await kernel.hear() == (50, 0, b"late")


async def test_a_clock_that_jumps_gives_nothing_up(
    operations: Operations, monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock
) -> None:
    """As after a night in which the machine slept: a request still gets its bytes."""
    looks: list[int] = []
    monkeypatch.setattr(kernel_binding, "is_dying", looks.append)
    async with one_read_under_way(operations, monkeypatch) as (kernel, released):
        await interrupt(kernel)
        for night in range(1, 4):
            while len(looks) < night:
                await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(12 * 3600)
        released.set()
        assert await kernel.hear() == (50, 0, b"late")
        assert (await kernel.ask(Opcode.STATFS))[0] == 0


async def test_an_interrupt_that_comes_first(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_binding, "is_dying", lambda _: True)

    async def wait(*_: object) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(operations, "read", wait)
    monkeypatch.setattr(operations, "read_at_once", lambda *_: None)
    async with calling(operations) as kernel:
        await interrupt(kernel)
        await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=50, pid=77))
        assert await kernel.hear() == (50, errno.EINTR, b"")


def test_dying() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        assert not processes.is_dying(process.pid)
        process.communicate()
    assert not processes.is_dying(process.pid)


def test_dying_in_many_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_PROC", str(tmp_path))
    (tmp_path / "77").mkdir()
    groups = " ".join(map(str, range(1_000_000, 1_001_000)))
    (tmp_path / "77" / "status").write_text(
        f"Name:\tcat\nTgid:\t70\nGroups:\t{groups} \nSigPnd:\t0000000000000100\n"
    )
    assert processes.is_dying(77)


async def test_requests_under_way_are_answered_at_the_end(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_read_under_way(operations, monkeypatch) as (kernel, released):
        kernel.session.stop()
        await kernel.send(request(Opcode.READ, 1, read(1, 0, 4), unique=52))
        assert await kernel.hear() == (52, errno.ENOTCONN, b"")
        released.set()
        assert await kernel.hear() == (50, 0, b"late")


async def test_it_ends_with_the_mount(operations: Operations) -> None:
    async with calling(operations) as kernel:
        assert (await kernel.ask(Opcode.STATFS))[0] == 0
    assert all(not line.thread.is_alive() for line in kernel.session._lines)
