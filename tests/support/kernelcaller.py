"""The kernel's part, played for a session of our own binding: over a socket that keeps messages
whole, as /dev/fuse does."""

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from modelfloat.fuse.inodes import ROOT
from modelfloat.fuse.kernel_binding import KernelSession
from modelfloat.fuse.operations import Operations
from modelfloat.fuse.protocol import Opcode
from modelfloat.tests.support.fuserequests import parse_reply, request

PATIENCE = 60


class Caller:
    """The kernel's side: asks, and hears. `end` is its end of the socket."""

    def __init__(self, end: socket.socket, session: KernelSession) -> None:
        self.end = end
        self.session = session
        self._unique = 2

    async def send(self, data: bytes) -> None:
        assert await trio.to_thread.run_sync(self.end.send, data) == len(data)

    async def hear(self) -> tuple[int, int, bytes]:
        """The next reply: unique, errno, answer."""
        receive = self.end.recv
        data = await trio.to_thread.run_sync(receive, 1 << 20)
        return parse_reply(data)

    async def ask(
        self, opcode: int, inode: int = ROOT, body: bytes = b"", pid: int = 0
    ) -> tuple[int, bytes]:
        """Errno and answer of one request."""
        self._unique += 2
        await self.send(request(opcode, inode, body, unique=self._unique, pid=pid))
        unique, number, data = await self.hear()
        assert unique == self._unique
        return number, data

    async def walk(self, *names: bytes) -> int:
        """The inode of a path."""
        inode: int = ROOT
        for name in names:
            number, data = await self.ask(Opcode.LOOKUP, inode, name + b"\0")
            assert number == 0
            (inode,) = struct.unpack_from("=Q", data)
        return inode

    async def open(self, *names: bytes) -> int:
        """The handle of a file."""
        number, data = await self.ask(Opcode.OPEN, await self.walk(*names), bytes(8))
        assert number == 0
        return struct.unpack_from("=Q", data)[0]


@asynccontextmanager
async def calling(operations: Operations, lines: int = 1) -> AsyncIterator[Caller]:
    """A session that runs, and the other end of its descriptors, which are one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    devices = [os.dup(theirs.fileno()) for _ in range(lines)]
    session = KernelSession(operations, devices, "/nowhere", None)
    theirs.close()
    with ours:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            yield Caller(ours, session)
            ours.shutdown(socket.SHUT_RDWR)
        session.close()
